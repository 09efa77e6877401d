//! The text of `--version`: from what, for what, and with what the program was built.

use std::sync::LazyLock;

/// Features of this build, in alphabetical order.
const FEATURES: [(&str, bool); 10] = [
    ("api", cfg!(feature = "api")),
    ("cli", cfg!(feature = "cli")),
    ("http2", cfg!(feature = "http2")),
    ("jemalloc", cfg!(feature = "jemalloc")),
    ("metrics", cfg!(feature = "metrics")),
    ("nats", cfg!(feature = "nats")),
    ("probe", cfg!(feature = "probe")),
    ("proxy", cfg!(feature = "proxy")),
    ("simd", cfg!(feature = "simd")),
    ("tls", cfg!(feature = "tls")),
];

static LONG: LazyLock<String> = LazyLock::new(|| {
    let built = FEATURES.iter().filter(|(_, is_built)| *is_built);
    let names: Vec<_> = built.map(|(name, _)| *name).collect();
    format!(
        "{}\ncommit: {}\ntarget: {}\nfeatures: {}",
        env!("CARGO_PKG_VERSION"),
        option_env!("ECHOBEAT_COMMIT").unwrap_or("unknown"),
        env!("ECHOBEAT_TARGET"),
        names.join(" ")
    )
});

/// The version with the commit, if it is known, the target and the features.
pub(super) fn long() -> &'static str {
    &LONG
}

#[cfg(test)]
mod tests {
    use super::FEATURES;

    #[test]
    fn every_feature_of_the_manifest_is_told() {
        let manifest = include_str!("../../Cargo.toml");
        let (_, list) = manifest.split_once("\nfull = [").unwrap();
        let (list, _) = list.split_once(']').unwrap();
        let mut features: Vec<_> = list.split('"').skip(1).step_by(2).collect();
        features.push("jemalloc");
        features.sort_unstable();
        assert_eq!(FEATURES.map(|(name, _)| name)[..], features);
    }
}
