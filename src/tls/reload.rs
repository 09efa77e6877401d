//! Reading the certificate again at every SIGHUP.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::error;

use super::{Acceptor, TlsError, load};
use crate::platform::Hangups;

/// Time limit for reading the files again.
const RELOAD_TIME: Duration = Duration::from_secs(5);

impl Acceptor {
    /// Reloads at every SIGHUP, and logs the outcome. A SIGHUP during a reload starts it again.
    pub async fn reload_at(self: Arc<Self>, mut hangups: Hangups) {
        hangups.recv().await;
        loop {
            tokio::select! {
                biased;
                () = hangups.recv() => continue,
                reloaded = self.reload_in_time() => {
                    if let Err(error) = reloaded {
                        error!(%error, "the certificate stays as it was");
                    }
                }
            }
            hangups.recv().await;
        }
    }

    /// Reloads on a blocking thread, because sessions must not wait for slow files. A late result
    /// is not used.
    async fn reload_in_time(&self) -> Result<(), TlsError> {
        let (source, names) = (self.source.clone(), self.names.clone());
        let loading = spawn_blocking(move || load(&source, &names));
        match timeout(RELOAD_TIME, loading).await {
            Ok(loaded) => {
                self.replace(loaded??);
                Ok(())
            }
            Err(_late) => Err(TlsError::Late(RELOAD_TIME)),
        }
    }
}
