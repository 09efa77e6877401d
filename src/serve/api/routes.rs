//! Paths of the API.

use hyper::StatusCode;
use matchit::Router;
use percent_encoding::percent_decode_str;

use super::bad_request;
use crate::http::Refusal;

/// Something that has a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Connections,
    Connection,
    Messages,
    Topics,
    Topic,
    Events,
    Cluster,
    AwsConnection,
    OpenApi,
}

impl Route {
    /// The methods that it takes, as the header `Allow` has them.
    pub(super) fn methods(self) -> &'static str {
        match self {
            Self::Connections | Self::Topic => "GET, HEAD, POST",
            Self::Connection => "GET, HEAD, POST, PATCH, DELETE",
            Self::AwsConnection => "GET, HEAD, POST, DELETE",
            Self::Topics | Self::Messages | Self::Events | Self::Cluster | Self::OpenApi => {
                "GET, HEAD"
            }
        }
    }
}

/// Patterns of the paths. A name in braces is one segment, and may be any text, escaped.
pub(super) const PATTERNS: [(&str, Route); 9] = [
    ("/connections", Route::Connections),
    ("/connections/{name}", Route::Connection),
    ("/connections/{name}/messages", Route::Messages),
    ("/topics", Route::Topics),
    ("/topics/{name}", Route::Topic),
    ("/events", Route::Events),
    ("/cluster", Route::Cluster),
    ("/@connections/{name}", Route::AwsConnection),
    ("/openapi.json", Route::OpenApi),
];

/// Other patterns of some of them. The SDKs of AWS put the path of their endpoint, a stage, first.
const ALIASES: [(&str, Route); 3] = [
    ("/%40connections/{name}", Route::AwsConnection),
    ("/{stage}/@connections/{name}", Route::AwsConnection),
    ("/{stage}/%40connections/{name}", Route::AwsConnection),
];

/// The table of paths.
#[derive(Debug)]
pub(super) struct Routes(Router<Route>);

impl Routes {
    pub(super) fn new() -> Self {
        let mut router = Router::new();
        for (pattern, route) in PATTERNS.into_iter().chain(ALIASES) {
            let inserted = router.insert(pattern, route);
            inserted.expect("no two patterns are the same");
        }
        Self(router)
    }

    /// The route of a path, if it is one of the API.
    pub(super) fn route(&self, path: &str) -> Option<Route> {
        let found = self.0.at(path).ok()?;
        Some(*found.value)
    }

    /// The pattern of a path.
    pub(super) fn pattern(&self, path: &str) -> &'static str {
        let found = self.0.at(path).ok();
        let pattern = found.and_then(|found| {
            let mut patterns = PATTERNS.iter();
            patterns.find(|(_, route)| route == found.value)
        });
        pattern.map_or("none", |(pattern, _)| pattern)
    }

    /// The route of a path, and the name in it, which is empty if there is none.
    pub(super) fn find(&self, path: &str) -> Result<(Route, String), Refusal> {
        let nothing = || Refusal::new(StatusCode::NOT_FOUND, "Nothing here.");
        let found = self.0.at(path).map_err(|_| nothing())?;
        let name = found.params.get("name").unwrap_or_default();
        let name = percent_decode_str(name).decode_utf8();
        let name = name.map_err(|_| bad_request("The path must be UTF-8, percent-encoded."))?;
        Ok((*found.value, name.into_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_apart() {
        let routes = Routes::new();
        let find = |path: &str| routes.find(path).map_err(|refusal| refusal.status.as_u16());
        let found = |route, name: &str| Ok((route, name.to_owned()));
        assert_eq!(find("/connections"), found(Route::Connections, ""));
        assert_eq!(find("/connections/a"), found(Route::Connection, "a"));
        assert_eq!(
            find("/connections/a%2Fb%20c"),
            found(Route::Connection, "a/b c")
        );
        assert_eq!(find("/connections/a/messages"), found(Route::Messages, "a"));
        assert_eq!(find("/topics/messages"), found(Route::Topic, "messages"));
        for path in [
            "/@connections/a%3D",
            "/%40connections/a=",
            "/stage/@connections/a=",
            "/topics/%40connections/a%3D",
        ] {
            assert_eq!(find(path), found(Route::AwsConnection, "a="), "{path}");
        }
        for path in [
            "/",
            "/@connections",
            "/@connections/a/b",
            "/two/stages/@connections/a",
            "/connection",
            "/connections/",
            "/connections/a/b",
            "/topics/a/b",
        ] {
            assert_eq!(find(path), Err(404), "{path}");
            assert_eq!(routes.route(path), None, "{path}");
        }
        assert_eq!(find("/topics/%ff"), Err(400));
        assert_eq!(find("/events"), found(Route::Events, ""));
        for (path, pattern) in [
            ("/connections", "/connections"),
            ("/connections/a/messages", "/connections/{name}/messages"),
            ("/topics/%ff", "/topics/{name}"),
            ("/nothing", "none"),
        ] {
            assert_eq!(routes.pattern(path), pattern);
        }
    }
}
