//! Help for users who write scenarios: every step, and what it does.

use super::Scenario;
use super::parse::{TIMED, USAGES};

/// Meaning of each step.
const MEANINGS: [(&str, &str); 26] = [
    ("beat", "the interval of the heart beat"),
    ("say", "the text of the heart beat, or a message at a time"),
    ("reply", "answers a text with another, in place of the echo"),
    ("echo", "no echoes"),
    ("delay", "echoes come later, their order kept"),
    ("rate", "bytes written a second"),
    ("drop", "drops some echoes, at random"),
    ("duplicate", "sends echoes twice, all or some"),
    ("reorder", "sends echoes after the next one, all or some"),
    ("fragment", "messages come in fragments of this size"),
    ("ping", "the interval of Pings"),
    ("close", "sends a Close: any code from 0 to 65535, or none"),
    ("fin", "ends TCP without a Close"),
    ("rst", "resets TCP"),
    ("deaf", "stops reading"),
    ("stall", "stops reading and writing"),
    ("noreply", "never answers a Close"),
    (
        "burst",
        "so many binary messages, numbered in their first 8 bytes",
    ),
    ("bad", "sends one broken frame"),
    (
        "refuse",
        "refuses the upgrade, with a Retry-After or a Location",
    ),
    ("wait", "the answer to the upgrade comes later"),
    (
        "accept",
        "a wrong Sec-WebSocket-Accept, or none, or an extension not asked for",
    ),
    ("subprotocol", "selects it, whatever was offered"),
    ("deflate", "how messages are compressed, if at all"),
    ("greet", "a text in the same write as the 101; may repeat"),
    ("who", "what the server saw of the request, as JSON"),
];

impl Scenario {
    /// A text that lists all steps, each on its own lines with its meaning.
    pub(crate) fn help() -> String {
        let mut help =
            "Steps of --do, and of the parameter do of a URL, with commas between them:\n"
                .to_owned();
        for (name, usage) in USAGES {
            help.push_str(&format!("  {usage}\n          {}\n", meaning(name)));
        }
        let timed = TIMED.join(", ");
        help.push_str(&format!(
            "  Behind {timed} there may be a time:\n  @5s after the upgrade, or @3msg received. \
             Behind every step, and behind its time,\n  there may be @2x: only for the first two \
             connections with the same URL, or with\n  the same path for --do, until the server \
             restarts. @20%: only for one in five.\n  In a text, \\, is a comma, \\\\ a backslash, \
             \\@ an at sign, \\= an equals sign."
        ));
        help
    }
}

fn meaning(step: &str) -> &'static str {
    let found = MEANINGS.iter().find(|(name, _)| *name == step);
    found.map_or("", |(_, meaning)| meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_meaning() {
        for (name, _) in USAGES {
            assert_ne!(meaning(name), "", "{name}");
        }
        for (name, _) in MEANINGS {
            assert!(USAGES.iter().any(|(known, _)| *known == name), "{name}");
        }
    }
}
