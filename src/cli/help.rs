//! Text that help shows after the flags.

use crate::config::Check;
use crate::scenario::Scenario;

/// The end of the server's short help.
pub(super) const MORE: &str = "\
echobeat --help has all flags, the steps of --do, and examples.
Each flag is a variable too: --drain is ECHOBEAT_DRAIN.";

/// The end of the proxy's short help.
pub(super) const MORE_OF_THE_PROXY: &str = "\
echobeat proxy --help has all flags, and examples.
Each flag is a variable too: --drain is ECHOBEAT_DRAIN.";

/// The end of the probe's short help.
pub(super) const MORE_OF_THE_PROBE: &str = "\
echobeat probe --help explains all flags, and has examples.";

const EXAMPLES: &str = "\
Examples:
  echobeat                                  ws://127.0.0.1:8002/, this machine alone
  echobeat 9000                             port 9000 of this machine
  echobeat 0.0.0.0:9000 --heartbeat off     all interfaces, echo alone
  echobeat --path /ws --subprotocol chat    one path, one subprotocol
  echobeat 0 'unix:echo.sock?mode=0660'     any free port, and a Unix socket
  echobeat --tls-self-signed                wss://127.0.0.1:8002/
  echobeat --do delay:200ms,fin@3msg        late echoes, and an end without Close
  echobeat proxy                            ws://127.0.0.1:8082/, before the first";

const EXAMPLES_OF_THE_PROXY: &str = "\
Examples:
  echobeat proxy                            port 8082, before http://127.0.0.1:8002
  echobeat proxy 9000 --upstream 9001       ports of this machine
  echobeat proxy --upstream https://a.example --idle-timeout 1m
  echobeat proxy --do delay:200ms,up.drop:10%   late frames, and lost messages
  echobeat proxy --api=8083                 what goes over each WebSocket
  echobeat proxy 'unix:proxy.sock?mode=0666' --upstream unix:echo.sock";

const EXAMPLES_OF_THE_PROBE: &str = "\
Examples:
  echobeat probe wss://app.example/ws       all checks, up to 5 minutes of silence
  echobeat probe 8082 --max-idle off        port 8082 of this machine, no silence
  echobeat probe wss://app.example/ws --expect 'idle>=60s,ping,deflate,h2'
  echobeat probe ws://app.example/ --api-url http://app.example/
  echobeat probe --health http://127.0.0.1:8002/healthz";

const VALUES: &str = "\
Values:
  An address is a port of 127.0.0.1, host:port, or unix:PATH. Port 0 is any free
  one; 0.0.0.0 means all interfaces. 'unix:PATH?mode=0660&group=NAME' sets mode
  and group of the socket's file: who may write to it may connect. In the path,
  a ? is written %3F, a comma %2C, and a % itself %25. fd:3 is the first socket
  that systemd passes to the program.
  A duration is written 500ms, 3s or 2m, and is from 1ms to 30days. A size is
  64KiB, 16MiB or 1048576. Flags that may be repeated take lists with commas.

Environment:
  The command line overrides variables: that of the same flag, and those that
  contradict it. An empty variable is an absent one. Flags that have no value
  take true or false, ECHOBEAT_VERBOSE and ECHOBEAT_QUIET a number as well.";

/// The end of the server's long help.
pub(super) fn of_the_server() -> String {
    let steps = Scenario::help();
    format!("{EXAMPLES}\n\n{VALUES}\n\n{steps}")
}

/// The end of the proxy's long help.
pub(super) fn of_the_proxy() -> String {
    format!("{EXAMPLES_OF_THE_PROXY}\n\n{VALUES}")
}

/// The end of the probe's long help.
pub(super) fn of_the_probe() -> String {
    let names = Check::ALL.map(Check::name).join(", ");
    let checks = format!("Checks:\n  {names}");
    format!("{EXAMPLES_OF_THE_PROBE}\n\n{}", wrapped(&checks))
}

/// A text in lines of a terminal's width.
fn wrapped(text: &str) -> String {
    let mut lines = String::new();
    let mut columns = 0;
    for word in text.split_inclusive([' ', '\n']) {
        if columns + word.len() > 80 {
            lines.truncate(lines.trim_end_matches(' ').len());
            lines.push_str("\n  ");
            columns = 2;
        }
        lines.push_str(word);
        columns = if word.ends_with('\n') {
            0
        } else {
            columns + word.len()
        };
    }
    lines
}
