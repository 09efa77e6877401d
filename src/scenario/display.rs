//! Scenarios as text.

use std::fmt;
use std::mem;
use std::time::Duration;

use super::{Accept, Advice, Bad, Closing, Deflate, Refuse, Reply, Scenario, Share, Step, When};

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, planned) in self.steps.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{}{}", planned.step, planned.share)?;
        }
        Ok(())
    }
}

impl Step {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Beat(_) => "beat",
            Self::Say(..) => "say",
            Self::Reply(_) => "reply",
            Self::EchoOff => "echo",
            Self::Delay { .. } => "delay",
            Self::Rate(_) => "rate",
            Self::Drop(_) => "drop",
            Self::Duplicate(_) => "duplicate",
            Self::Reorder(_) => "reorder",
            Self::Fragment(_) => "fragment",
            Self::Ping(_) => "ping",
            Self::Close(..) => "close",
            Self::Fin(_) => "fin",
            Self::Rst(_) => "rst",
            Self::Deaf(_) => "deaf",
            Self::Stall(_) => "stall",
            Self::NoReply => "noreply",
            Self::Burst(..) => "burst",
            Self::Bad(..) => "bad",
            Self::Refuse(_) => "refuse",
            Self::Wait(_) => "wait",
            Self::Accept(_) => "accept",
            Self::Subprotocol(_) => "subprotocol",
            Self::Deflate(_) => "deflate",
            Self::Greet(_) => "greet",
            Self::Who => "who",
        }
    }

    /// Whether the two steps exclude each other, so that at most one of them is done.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Greet(_), Self::Greet(_)) => false,
            (Self::Reply(one), Self::Reply(other)) => one.message == other.message,
            (Self::Say(_, one), Self::Say(_, other)) => {
                (*one, *other) == (When::Start, When::Start)
            }
            (Self::Deflate(one), Self::Deflate(other)) => {
                mem::discriminant(one) == mem::discriminant(other)
            }
            _ => self.name() == other.name(),
        }
    }

    /// The time at which this step ends the session, if it does.
    pub(super) fn ends_at(&self) -> Option<When> {
        match self {
            Self::Close(_, when) | Self::Fin(when) | Self::Rst(when) | Self::Stall(when) => {
                Some(*when)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Beat(Some(every)) | Self::Ping(every) => write!(f, ":{}", Time(*every)),
            Self::Beat(None) | Self::EchoOff => f.write_str(":off"),
            Self::Say(text, when) => write!(f, ":{}{when}", escaped(text, &TEXT)),
            Self::Reply(Reply { message, answer }) => {
                let message = escaped(message, &['\\', ',', '@', '=']);
                write!(f, ":{message}={}", escaped(answer, &TEXT))
            }
            Self::Greet(text) => write!(f, ":{}", escaped(text, &TEXT)),
            Self::Delay { least, most } if least == most => write!(f, ":{}", Time(*least)),
            Self::Delay { least, most } => write!(f, ":{}..{}", Time(*least), Time(*most)),
            Self::Rate(bytes) => write!(f, ":{}", Size(*bytes)),
            Self::Duplicate(100) | Self::Reorder(100) => Ok(()),
            Self::Drop(percent) | Self::Duplicate(percent) | Self::Reorder(percent) => {
                write!(f, ":{percent}%")
            }
            Self::Fragment(bytes) => write!(f, ":{}", Size(*bytes as u64)),
            Self::Close(closing, when) => write!(f, ":{closing}{when}"),
            Self::Fin(when) | Self::Rst(when) | Self::Deaf(when) | Self::Stall(when) => {
                write!(f, "{when}")
            }
            Self::NoReply | Self::Who => Ok(()),
            Self::Burst(burst, when) => {
                write!(f, ":{}x{}{when}", burst.messages, Size(burst.size))
            }
            Self::Bad(Bad::Bomb(bytes), when) => write!(f, ":bomb:{}{when}", Size(*bytes)),
            Self::Bad(bad, when) => write!(f, ":{}{when}", bad.name()),
            Self::Refuse(refuse) => write!(f, ":{refuse}"),
            Self::Wait(time) => write!(f, ":{}", Time(*time)),
            Self::Accept(Accept::Wrong) => f.write_str(":wrong"),
            Self::Accept(Accept::Unasked) => f.write_str(":unasked"),
            Self::Deflate(Deflate::Off) => f.write_str(":off"),
            Self::Deflate(Deflate::Takeover) => f.write_str(":takeover"),
            Self::Deflate(Deflate::Window(bits)) => write!(f, ":window:{bits}"),
            Self::Accept(Accept::Absent) | Self::Subprotocol(None) => f.write_str(":none"),
            Self::Subprotocol(Some(name)) => write!(f, ":{}", name.as_str()),
        }
    }
}

/// Characters that are written with a backslash before them in a text.
const TEXT: [char; 3] = ['\\', ',', '@'];

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => Ok(()),
            Self::First(connections) => write!(f, "@{connections}x"),
            Self::Percent(percent) => write!(f, "@{percent}%"),
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start => Ok(()),
            Self::After(time) => write!(f, "@{}", Time(*time)),
            Self::Messages(count) => write!(f, "@{count}msg"),
        }
    }
}

impl fmt::Display for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bare => f.write_str("none"),
            Self::Code(code, reason) if reason.is_empty() => write!(f, "{code}"),
            Self::Code(code, reason) => {
                write!(f, "{code}:{}", escaped(reason, &TEXT))
            }
        }
    }
}

impl Bad {
    /// Those without a value.
    pub(super) const NAMED: [Self; 12] = [
        Self::Utf8,
        Self::Rsv,
        Self::Opcode,
        Self::Masked,
        Self::Continuation,
        Self::Ping126,
        Self::Length,
        Self::Rsv1,
        Self::Deflate,
        Self::Bfinal,
        Self::Desync,
        Self::Window,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf8",
            Self::Rsv => "rsv",
            Self::Opcode => "opcode",
            Self::Masked => "masked",
            Self::Continuation => "continuation",
            Self::Ping126 => "ping126",
            Self::Length => "length",
            Self::Rsv1 => "rsv1",
            Self::Deflate => "deflate",
            Self::Bfinal => "bfinal",
            Self::Desync => "desync",
            Self::Window => "window",
            Self::Bomb(_) => "bomb",
        }
    }
}

impl fmt::Display for Refuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        match &self.advice {
            None => Ok(()),
            Some(Advice::Location(place)) => write!(f, ":{}", escaped(place, &TEXT)),
            Some(Advice::RetryAfter(time)) => write!(f, ":{}", Time(*time)),
        }
    }
}

/// A duration, displayed without spaces.
struct Time(Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = humantime::format_duration(self.0).to_string();
        f.write_str(&text.replace(' ', ""))
    }
}

/// A number of bytes, displayed in the largest unit that leaves no fraction.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes % (1 << 20) == 0 => write!(f, "{}MiB", bytes >> 20),
            bytes if bytes % (1 << 10) == 0 => write!(f, "{}KiB", bytes >> 10),
            bytes => write!(f, "{bytes}"),
        }
    }
}

/// Puts a backslash before each of the `special` characters of a text.
fn escaped(text: &str, special: &[char]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if special.contains(&c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
