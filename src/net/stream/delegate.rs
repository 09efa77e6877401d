//! Methods that a wrapper around a stream passes on unchanged.

/// Writes the method of `AsyncRead`, which does the same on the stream that a pattern of the wrapper
/// binds.
macro_rules! delegate_read {
    ($($pattern:pat => $stream:ident),+ $(,)?) => {
        fn poll_read(
            self: ::std::pin::Pin<&mut Self>,
            cx: &mut ::std::task::Context<'_>,
            buf: &mut ::tokio::io::ReadBuf<'_>,
        ) -> ::std::task::Poll<::std::io::Result<()>> {
            match self.get_mut() {
                $($pattern => ::std::pin::Pin::new($stream).poll_read(cx, buf),)+
            }
        }
    };
}

/// Writes the methods of `AsyncWrite`. Each calls the same method of the stream that a pattern of
/// the wrapper binds.
macro_rules! delegate_write {
    ($($pattern:pat => $stream:ident),+ $(,)?) => {
        fn poll_write(
            self: ::std::pin::Pin<&mut Self>,
            cx: &mut ::std::task::Context<'_>,
            buf: &[u8],
        ) -> ::std::task::Poll<::std::io::Result<usize>> {
            match self.get_mut() {
                $($pattern => ::std::pin::Pin::new($stream).poll_write(cx, buf),)+
            }
        }

        fn poll_write_vectored(
            self: ::std::pin::Pin<&mut Self>,
            cx: &mut ::std::task::Context<'_>,
            bufs: &[::std::io::IoSlice<'_>],
        ) -> ::std::task::Poll<::std::io::Result<usize>> {
            match self.get_mut() {
                $($pattern => ::std::pin::Pin::new($stream).poll_write_vectored(cx, bufs),)+
            }
        }

        fn is_write_vectored(&self) -> bool {
            match self {
                $($pattern => $stream.is_write_vectored(),)+
            }
        }

        fn poll_flush(
            self: ::std::pin::Pin<&mut Self>,
            cx: &mut ::std::task::Context<'_>,
        ) -> ::std::task::Poll<::std::io::Result<()>> {
            match self.get_mut() {
                $($pattern => ::std::pin::Pin::new($stream).poll_flush(cx),)+
            }
        }

        fn poll_shutdown(
            self: ::std::pin::Pin<&mut Self>,
            cx: &mut ::std::task::Context<'_>,
        ) -> ::std::task::Poll<::std::io::Result<()>> {
            match self.get_mut() {
                $($pattern => ::std::pin::Pin::new($stream).poll_shutdown(cx),)+
            }
        }
    };
}

pub(crate) use {delegate_read, delegate_write};
