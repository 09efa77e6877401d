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
    use super::*;

    #[test]
    fn every_feature_of_the_package_is_told() {
        let manifest = include_str!("../../Cargo.toml");
        let (_, features) = manifest.split_once("\n[features]\n").unwrap();
        let (features, _) = features.split_once("\n[").unwrap();
        let names = features
            .lines()
            .filter(|line| !line.starts_with([' ', '#', ']']));
        let names = names.filter_map(|line| line.split_once(" = ").map(|(name, _)| name));
        let mut names: Vec<_> = names
            .filter(|name| !matches!(*name, "default" | "full"))
            .collect();
        names.sort_unstable();
        assert_eq!(FEATURES.map(|(name, _)| name)[..], names);
    }
}
