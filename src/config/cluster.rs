//! Settings of a cluster: many nodes as one, over NATS.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use hyper::Uri;
use percent_encoding::percent_decode_str;

use super::SettingError;
use crate::platform;

/// The longest name of a node, and the longest prefix of subjects, in bytes.
const MAX_NAME: usize = 64;

/// Port of a NATS server whose URL has none.
const PORT: u16 = 4222;

/// Settings of a node of a cluster. The nodes find each other by NATS: those with the same servers
/// and the same prefix are one cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterConfig {
    /// NATS servers, of which one is chosen, and another one when it goes away.
    pub servers: Vec<NatsUrl>,
    /// File with the credentials for NATS: a JWT and the seed of an nkey.
    pub credentials: Option<PathBuf>,
    /// First part of all subjects.
    pub prefix: SubjectPrefix,
    /// Name of this node, which no other node of the cluster may have.
    pub node: NodeName,
    /// Time that another node has to answer.
    pub timeout: Duration,
    /// Whether the server does not start without NATS.
    pub is_required: bool,
}

impl ClusterConfig {
    /// Settings with the defaults, and a unique name of the node.
    #[must_use]
    pub fn new(servers: Vec<NatsUrl>) -> Self {
        Self {
            servers,
            credentials: None,
            prefix: SubjectPrefix::default(),
            node: NodeName::unique(),
            timeout: Duration::from_secs(1),
            is_required: false,
        }
    }
}

/// URL of a NATS server: `nats://host:4222`, or `tls://` for TLS, perhaps with a user and a password
/// or a token in it. Neither `Debug` nor `Display` shows these.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsUrl {
    is_tls: bool,
    host: String,
    port: u16,
    login: Option<Login>,
}

/// Login of a NATS server.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Login {
    Token(String),
    User { name: String, password: String },
}

impl NatsUrl {
    /// The login that it has, if it has one.
    pub(crate) fn login(&self) -> Option<&Login> {
        self.login.as_ref()
    }
}

impl FromStr for NatsUrl {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let wrong = SettingError::NatsUrl;
        let text = match text.contains("://") {
            true => text.to_owned(),
            false => format!("nats://{text}"),
        };
        let uri: Uri = text.parse().map_err(|_| wrong)?;
        let is_tls = match uri.scheme_str() {
            Some("nats") => false,
            Some("tls") => true,
            _ => return Err(wrong),
        };
        let authority = uri.authority().ok_or(wrong)?;
        let is_bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if !is_bare || authority.host().is_empty() {
            return Err(wrong);
        }
        let login = authority.as_str().rsplit_once('@');
        Ok(Self {
            is_tls,
            host: authority.host().to_owned(),
            port: authority.port_u16().unwrap_or(PORT),
            login: login.map(|(login, _)| Login::parse(login)).transpose()?,
        })
    }
}

impl Login {
    fn parse(text: &str) -> Result<Self, SettingError> {
        let decoded = |text: &str| {
            let decoded = percent_decode_str(text).decode_utf8();
            decoded.map_or(Err(SettingError::NatsUrl), |text| Ok(text.into_owned()))
        };
        Ok(match text.split_once(':') {
            Some((name, password)) => Self::User {
                name: decoded(name)?,
                password: decoded(password)?,
            },
            None => Self::Token(decoded(text)?),
        })
    }
}

/// Shows the URL without its login.
impl fmt::Display for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "tls" } else { "nats" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// Shows the URL without its login, which must not come into a log.
impl fmt::Debug for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = if self.login.is_some() { " (..)" } else { "" };
        write!(f, "NatsUrl({self}{login})")
    }
}

/// Name of a node: 1 to 64 letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeName(String);

impl NodeName {
    /// A name of this machine's name and a random part.
    #[must_use]
    pub fn unique() -> Self {
        let host = platform::host_name().unwrap_or_default();
        let fits = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
        let host: String = host.chars().take_while(fits).take(MAX_NAME / 2).collect();
        let random: u32 = rand::random();
        let host = if host.is_empty() { "node" } else { &host };
        Self(format!("{host}-{random:08x}"))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        match (1..=MAX_NAME).contains(&text.len()) && text.chars().all(fits) {
            true => Ok(Self(text.to_owned())),
            false => Err(SettingError::NodeName),
        }
    }
}

/// First part of the subjects of a cluster: names as of nodes, with dots between them, `echobeat` by
/// default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectPrefix(String);

impl SubjectPrefix {
    /// The prefix.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for SubjectPrefix {
    fn default() -> Self {
        Self("echobeat".to_owned())
    }
}

impl FromStr for SubjectPrefix {
    type Err = SettingError;

    fn from_str(text: &str) -> Result<Self, SettingError> {
        let is_name = |part: &str| part.parse::<NodeName>().is_ok();
        match text.len() <= MAX_NAME && text.split('.').all(is_name) {
            true => Ok(Self(text.to_owned())),
            false => Err(SettingError::SubjectPrefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_login_and_does_not_show_it() {
        let url: NatsUrl = "tls://me:s%3Acret@nats.example.com".parse().unwrap();
        let login = Login::User {
            name: "me".to_owned(),
            password: "s:cret".to_owned(),
        };
        assert!(url.login() == Some(&login));
        assert_eq!(url.to_string(), "tls://nats.example.com:4222");
        assert!(!format!("{url:?}").contains("cret"));
        let url: NatsUrl = "nats://t0ken@[::1]:4223".parse().unwrap();
        assert!(url.login() == Some(&Login::Token("t0ken".to_owned())));
        assert_eq!(url.to_string(), "nats://[::1]:4223");
        let bare: NatsUrl = "localhost:1".parse().unwrap();
        assert_eq!(bare.to_string(), "nats://localhost:1");
        for bad in [
            "",
            "http://a",
            "nats://",
            "nats://a/b",
            "nats://a?b",
            "nats:// ",
        ] {
            assert!(bad.parse::<NatsUrl>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_of_nodes_are_parts_of_subjects() {
        let long = "x".repeat(MAX_NAME);
        for good in ["a", "Node-1_b", &long] {
            assert!(good.parse::<NodeName>().is_ok(), "{good:?}");
        }
        for bad in ["", "a.b", "a b", "a>", "*", &format!("{long}x")] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?}");
        }
        let unique = NodeName::unique();
        assert!(unique.as_str().parse::<NodeName>().is_ok() && unique != NodeName::unique());
    }

    #[test]
    fn a_prefix_is_one_name_or_several() {
        for good in ["echobeat", "team.echobeat"] {
            assert!(good.parse::<SubjectPrefix>().is_ok(), "{good:?}");
        }
        for bad in ["", ".", "a.", "a..b", "a.>", "a b"] {
            assert!(bad.parse::<SubjectPrefix>().is_err(), "{bad:?}");
        }
    }
}
