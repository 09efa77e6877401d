//! The word of the far end, where it is an echobeat with an API.

use hyper::HeaderMap;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::checks::no_session;
use super::dial::Dialer;
use super::exchange::{Lost, await_echo};
use super::idle::CutConnection;
use super::report::{Finding, Verdict, shown};
use super::session::Session;
use super::{Probe, ProbeError, authorization};
use crate::config::{Check, ProbeConfig, ProbeUrl};
use crate::ws::frames::{CONTINUATION, FIN, TEXT};

/// Close code that the far end is to see.
const CODE: u16 = 4322;

/// Fragments that the far end is to see.
const FRAGMENTS: u32 = 3;

/// Part of a URL's path in which a name is written as it is.
const IN_PATH: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.');

/// The API of the echobeat at the far end.
#[derive(Debug)]
pub(super) struct FarEnd {
    url: ProbeUrl,
    /// Dialer of the API, by which other URLs of it are asked for.
    dialer: Dialer,
    headers: HeaderMap,
}

impl FarEnd {
    pub(super) fn new(url: ProbeUrl, config: &ProbeConfig) -> Result<Self, ProbeError> {
        let dialer = Dialer::new(url.clone(), None, &config.trust, config.timeout)?;
        Ok(Self {
            url,
            dialer,
            headers: authorization(config),
        })
    }

    /// The JSON that is at a path of the API.
    async fn get(&self, path: &str) -> Result<Value, String> {
        let url = self.url.below(path).map_err(|error| error.to_string())?;
        let answer = self.dialer.get_at(&url, &self.headers).await;
        let (status, body) = answer.map_err(|error| format!("the API: {error}"))?;
        match status {
            200 => serde_json::from_slice(&body)
                .map_err(|error| format!("the API's answer is not JSON: {error}")),
            404 => Err("the API does not know the connection".to_owned()),
            status => Err(refused(status, &body)),
        }
    }

    async fn connection(&self, id: &str) -> Result<Value, String> {
        let id = percent_encoding::utf8_percent_encode(id, IN_PATH);
        self.get(&format!("/connections/{id}")).await
    }

    /// The first text message that the far end received on a connection.
    async fn first_message(&self, id: &str) -> Result<Value, String> {
        let id = percent_encoding::utf8_percent_encode(id, IN_PATH);
        let path = format!("/connections/{id}/messages?direction=in&kind=text&limit=1");
        let messages = self.get(&path).await?;
        Ok(messages["messages"][0].clone())
    }
}

impl Probe {
    /// Compares what the far end saw of a message in fragments, of a Close, and of a connection that was
    /// cut.
    pub(super) async fn check_far_end(
        &self,
        far_end: &FarEnd,
        cut: Option<CutConnection>,
    ) -> Finding {
        let check = Check::FarEnd;
        let mut session = match self.open(false).await {
            Ok((session, _)) => session,
            Err(error) => return no_session(check, &error),
        };
        let Some(id) = session.id.take() else {
            let reason = "the handshake's answer has no Echobeat-Connection: the far end is no \
                echobeat with --api, or what lies between removes the header";
            self.leave(session).await;
            return Finding::fail(check, reason);
        };
        if let Err(lost) = self.send_fragments(&mut session).await {
            return Finding::fail(check, format!("a message was sent, and {lost}"));
        }
        session.queue_close(CODE, "echobeat probe");
        session.end_by(Instant::now() + self.config.timeout).await;
        let (message, connection) = match ask(far_end, &id).await {
            Ok(answers) => answers,
            Err(error) => return Finding::fail(check, error),
        };
        let mut finding = compare(&message, &connection);
        if let Some(cut) = &cut {
            finding.push(told_of_cut(far_end, cut).await);
        }
        conclude(&finding)
    }

    async fn send_fragments(&self, session: &mut Session) -> Result<(), Lost> {
        let text = self.text("in fragments");
        let (first, rest) = text.as_bytes().split_at(8);
        let (second, third) = rest.split_at(8);
        session.queue(TEXT, first);
        session.queue(CONTINUATION, second);
        session.queue(FIN | CONTINUATION, third);
        await_echo(session, TEXT, text.as_bytes(), self.config.timeout).await?;
        Ok(())
    }
}

/// A refusal of the API, with its sentence if it has one.
fn refused(status: u16, body: &[u8]) -> String {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    match body["error"].as_str() {
        Some(sentence) => format!("the API answered with {status}: {sentence}"),
        None => format!("the API answered with {status}"),
    }
}

async fn ask(far_end: &FarEnd, id: &str) -> Result<(Value, Value), String> {
    let message = far_end.first_message(id).await?;
    Ok((message, far_end.connection(id).await?))
}

/// A thing that both ends saw, or saw differently.
struct Word {
    is_same: bool,
    detail: String,
    data: Value,
}

/// Compares a message in fragments and a Close with what the far end saw of them.
fn compare(message: &Value, connection: &Value) -> Vec<Word> {
    let fragments = &message["fragments"];
    let code = &connection["close"]["received"]["code"];
    vec![
        Word {
            is_same: *fragments == FRAGMENTS,
            detail: format!("{FRAGMENTS} fragments arrived as {fragments}"),
            data: json!({ "fragments": { "sent": FRAGMENTS, "received": fragments } }),
        },
        Word {
            is_same: *code == CODE,
            detail: match code {
                Value::Null => format!("a Close with {CODE} did not arrive"),
                code => format!("a Close with {CODE} arrived as {code}"),
            },
            data: json!({ "close": { "sent": CODE, "received": code } }),
        },
    ]
}

/// The far end's word about a connection that was cut.
async fn told_of_cut(far_end: &FarEnd, cut: &CutConnection) -> Word {
    let here = format!("{} after {}", cut.cut, shown(cut.after));
    let there = match &cut.id {
        Some(id) => far_end.connection(id).await,
        None => Err("its name is not known".to_owned()),
    };
    match there {
        Ok(connection) => Word {
            // Who cuts is a finding, and no difference between what arrives and what was sent.
            is_same: true,
            detail: format!("the silent connection: here {here}; {}", tell(&connection)),
            data: json!({ "silent": {
                "here": cut.cut.json(),
                "there": { "state": connection["state"], "end": connection["end"] },
                "cut_by": cut_by(&connection),
            } }),
        },
        Err(error) => Word {
            is_same: true,
            detail: format!("the silent connection: here {here}; there: {error}"),
            data: json!({ "silent": { "here": cut.cut.json(), "there": null, "cut_by": null } }),
        },
    }
}

/// The far end's word about a connection, and who has cut it by that.
fn tell(connection: &Value) -> String {
    let end = &connection["end"];
    let who = match cut_by(connection) {
        "between" => "so it was cut in between",
        _ => "so the far end has cut it",
    };
    match end["why"].as_str() {
        None => format!("there it is still open, {who}"),
        Some(why) => {
            let tcp = end["tcp"].as_str().unwrap_or("not known");
            format!("there why={why}, tcp={tcp}, {who}")
        }
    }
}

/// The party that has cut a connection that this side has left open: `between` if the far end has
/// not, because it believes that this side has, or that the connection is still open.
fn cut_by(connection: &Value) -> &'static str {
    let end = &connection["end"];
    match end["why"].as_str() {
        None | Some("eof" | "lost") => "between",
        // By a Close that this side has not sent.
        Some("closed") => "between",
        Some(_) => "far-end",
    }
}

fn conclude(words: &[Word]) -> Finding {
    let is_same = words.iter().all(|word| word.is_same);
    let verdict = if is_same {
        Verdict::Pass
    } else {
        Verdict::Fail
    };
    let details: Vec<_> = words.iter().map(|word| &word.detail[..]).collect();
    let finding = Finding::new(Check::FarEnd, verdict, details.join("; "));
    let data = words.iter().map(|word| word.data.clone());
    data.fold(finding, Finding::with)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_at_the_far_end_is_told() {
        let message = json!({ "fragments": 1 });
        let connection = json!({ "close": { "received": { "code": CODE } } });
        let words = compare(&message, &connection);
        assert!(!words[0].is_same && words[1].is_same);
        let finding = conclude(&words);
        assert_eq!(finding.verdict, Verdict::Fail);
    }

    #[test]
    fn the_far_end_tells_who_has_cut() {
        for (end, by) in [
            (Value::Null, "between"),
            (json!({ "why": "eof", "tcp": "fin" }), "between"),
            (json!({ "why": "dead", "tcp": "timeout" }), "far-end"),
        ] {
            assert_eq!(cut_by(&json!({ "end": end })), by);
        }
    }
}
