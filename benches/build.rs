//! Builds uWebSockets, if the feature asks for it.

#[cfg(feature = "uwebsockets")]
#[path = "build/uwebsockets.rs"]
mod uwebsockets;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "uwebsockets")]
    if let Err(failure) = uwebsockets::build() {
        // A message of cargo's is one line.
        let failure = failure.to_string().replace('\n', " ");
        println!("cargo::error=uWebSockets cannot be built: {failure}");
    }
}
