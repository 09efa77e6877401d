//! The faults of a tunnel: those of the proxy itself, and those that a request asks for.

use form_urlencoded::parse;
use hyper::header::{HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, Response, StatusCode, Uri};

use crate::config::ProxyConfig;
use crate::handshake;
use crate::http::Refusal;
use crate::scenario::{Accept, Occurrences, Scenario, Step, TunnelScenario};
use crate::ws::deflate;

/// The parameter of a query that asks for faults of the proxy: `do` is for a server behind it.
const PARAMETER: &str = "echobeat-do";

/// The header that asks for them.
const HEADER: HeaderName = HeaderName::from_static("echobeat-do");

/// Chooses the faults of each tunnel.
#[derive(Debug)]
pub(super) struct Faults {
    scenario: TunnelScenario,
    /// Whether a request may ask for others.
    by_url: bool,
    occurrences: Occurrences,
}

/// Faults that a request asks for, and the URL by which its connections are counted.
#[derive(Debug)]
pub(super) struct Asked {
    path: String,
    url: String,
    steps: Option<String>,
}

impl Faults {
    pub(super) fn new(config: &ProxyConfig) -> Self {
        Self {
            scenario: config.scenario.clone(),
            by_url: config.faults_by_url,
            occurrences: Occurrences::default(),
        }
    }

    /// Takes what asks for faults out of a request, which is to be forwarded without it. `None`:
    /// this proxy has no faults.
    pub(super) fn take<B>(&self, request: &mut Request<B>) -> Option<Asked> {
        if !self.by_url && self.scenario.is_default() {
            return None;
        }
        let path = request.uri().path().to_owned();
        let target = request.uri().path_and_query();
        let mut url = target.map_or("/", PathAndQuery::as_str).to_owned();
        let steps = match self.by_url {
            true => take_steps(request),
            false => None,
        };
        if let Some(steps) = steps.as_ref().filter(|_| !url.contains(PARAMETER)) {
            url.push('#');
            url.push_str(steps);
        }
        Some(Asked { path, url, steps })
    }

    /// The faults of one more tunnel, of which a refusal of the upgrade is the first to be done.
    pub(super) fn choose(&self, asked: &Asked, is_http2: bool) -> Result<TunnelScenario, Refusal> {
        let other = asked.steps.as_deref().unwrap_or_default();
        let scenario = other
            .parse()
            .and_then(|other| self.scenario.overridden_by(other));
        let scenario = scenario.map_err(|error| {
            let mut refusal = Refusal::new(StatusCode::BAD_REQUEST, error.to_string());
            refusal.advice = Some(TunnelScenario::usage());
            refusal
        })?;
        let both = [&scenario.down, &scenario.up];
        let [down, up] = self.occurrences.draw_both(both, &asked.path, &asked.url);
        for step in down.steps() {
            match step {
                Step::Refuse(refuse) => return Err(handshake::refusal_by_step(refuse)),
                Step::Accept(Accept::Unasked) => {}
                Step::Accept(_) if is_http2 => return Err(handshake::no_accept_over_http2()),
                _ => {}
            }
        }
        Ok(TunnelScenario { down, up })
    }
}

/// Takes the steps out of a request: those of the URL, and then those of its headers.
fn take_steps<B>(request: &mut Request<B>) -> Option<String> {
    let query = request.uri().query().unwrap_or_default();
    let parameters = parse(query.as_bytes()).filter(|(name, _)| name == PARAMETER);
    let mut steps: Vec<_> = parameters.map(|(_, steps)| steps.into_owned()).collect();
    if !steps.is_empty() {
        take_parameter(request, PARAMETER);
    }
    let lines = request.headers().get_all(&HEADER).iter();
    steps.extend(lines.map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned()));
    request.headers_mut().remove(&HEADER);
    (!steps.is_empty()).then(|| steps.join(","))
}

/// Takes a parameter out of the query of a request.
pub(super) fn take_parameter<B>(request: &mut Request<B>, name: &str) {
    if let Some(uri) = without_parameter(request.uri(), name) {
        *request.uri_mut() = uri;
    }
}

/// A target without the parameter; all others stay as they were written.
fn without_parameter(uri: &Uri, name: &str) -> Option<Uri> {
    let is_other = |pair: &&str| parse(pair.as_bytes()).all(|(found, _)| found != name);
    let query = uri.query().unwrap_or_default();
    let others: Vec<_> = query.split('&').filter(is_other).collect();
    let mark = if others.is_empty() { "" } else { "?" };
    let target = format!("{}{mark}{}", uri.path(), others.join("&"));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target.parse().ok()?);
    Uri::from_parts(parts).ok()
}

/// Applies the steps for the answer to one that accepts an upgrade. `has_offers` says whether the
/// client has offered an extension.
pub(super) fn distort<B>(answer: &mut Response<B>, scenario: &Scenario, has_offers: bool) {
    let headers = answer.headers_mut();
    for step in scenario.steps() {
        match step {
            Step::Accept(Accept::Unasked) => {
                let name = if has_offers {
                    deflate::OBSOLETE
                } else {
                    deflate::NAME
                };
                headers.append(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(name));
            }
            Step::Accept(accept) => {
                headers.remove(SEC_WEBSOCKET_ACCEPT);
                let wrong = handshake::accept_by_step(*accept);
                if let Some(Ok(wrong)) = wrong.map(HeaderValue::try_from) {
                    headers.insert(SEC_WEBSOCKET_ACCEPT, wrong);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(by_url: bool) -> Faults {
        Faults::new(&ProxyConfig {
            faults_by_url: by_url,
            scenario: "delay:1s@2x".parse().unwrap(),
            ..ProxyConfig::default()
        })
    }

    #[test]
    fn what_asks_for_faults_is_taken_out_and_the_rest_stays_as_it_is() {
        for (target, header, rest, steps) in [
            ("/a", None, "/a", None),
            ("/a?b=%20c", None, "/a?b=%20c", None),
            ("/a?echobeat-do=rst", None, "/a", Some("rst")),
            (
                "/a?x&echobeat-do=rst%401s&do=who&echobeat%2Ddo=up.fin",
                Some("delay:1s"),
                "/a?x&do=who",
                Some("rst@1s,up.fin,delay:1s"),
            ),
            ("/a?&x=+", Some("rst"), "/a?&x=+", Some("rst")),
        ] {
            let mut request = Request::builder().uri(target);
            if let Some(steps) = header {
                request = request.header("Echobeat-Do", steps);
            }
            let mut request = request.body(()).unwrap();
            let asked = faults(true).take(&mut request).unwrap();
            assert_eq!(asked.steps.as_deref(), steps, "{target}");
            assert_eq!(request.uri(), rest);
            assert!(request.headers().is_empty());
        }
    }

    #[test]
    fn a_proxy_without_faults_by_url_has_its_own_alone() {
        let mut request = Request::builder()
            .uri("/?echobeat-do=rst")
            .body(())
            .unwrap();
        let faults = faults(false);
        let asked = faults.take(&mut request).unwrap();
        assert_eq!(request.uri(), "/?echobeat-do=rst");
        let chosen = faults.choose(&asked, false).unwrap();
        assert_eq!(chosen.to_string(), "delay:1s@2x");
        let none = Faults::new(&ProxyConfig::default());
        assert!(none.take(&mut request).is_none());
    }

    #[test]
    fn steps_are_counted_by_url_and_wrong_ones_are_refused() {
        let faults = faults(true);
        let chosen = |target: &str| {
            let mut request = Request::builder().uri(target).body(()).unwrap();
            let asked = faults.take(&mut request).unwrap();
            let chosen = faults.choose(&asked, false);
            chosen.map_or_else(|refusal| refusal.sentence.into_owned(), |it| it.to_string())
        };
        let twice = "/?echobeat-do=up.rst@1x";
        assert_eq!(chosen(twice), "delay:1s@2x,up.rst@1x");
        assert_eq!(chosen(twice), "delay:1s@2x");
        assert_eq!(chosen(twice), "");
        let wrong = chosen("/?echobeat-do=who");
        assert_eq!(wrong, "The proxy has no step who: it is for the server.");
        let refused = chosen("/?echobeat-do=refuse:503");
        assert_eq!(refused, "This is what the step refuse:503 asks for.");
    }
}
