use std::collections::BTreeMap;

use clap::{ArgAction, CommandFactory};

use crate::cli::{Cli, Role};
use crate::telemetry::logging::LogArgs;

type Variables<'a> = &'a [(&'a str, &'a str)];

/// Result of reading the settings.
type Outcome = (Role, Option<usize>, LogArgs);

fn read(args: &[&str], variables: Variables<'_>) -> Result<Outcome, clap::Error> {
    let variables: BTreeMap<_, _> = variables.iter().copied().collect();
    let args = ["echobeat"].iter().chain(args).map(Into::into);
    let cli = Cli::read(args, |name| {
        let name = name.to_str().expect("variables are ASCII");
        variables.get(name).map(Into::into)
    })?;
    let (threads, log) = (cli.threads(), cli.log().clone());
    Ok((cli.into_role()?, threads, log))
}

fn complaint(args: &[&str], variables: Variables<'_>) -> String {
    let error = read(args, variables).unwrap_err();
    assert_eq!(error.exit_code(), 2, "{args:?} {variables:?}");
    error.to_string()
}

/// A flag that has a variable.
struct Flag {
    /// The command that has it, if that is not the server.
    command: Option<&'static str>,
    id: String,
    long: String,
    variable: String,
    action: ArgAction,
    value: String,
    conflicts: Vec<String>,
}

impl Flag {
    /// Two different values of the flag.
    fn samples(&self) -> [&'static str; 2] {
        match (&self.value[..], &self.id[..]) {
            (_, "upstream_ca") => ["one.pem", "other.pem"],
            ("ADDR", _) => ["127.0.0.1:1001", "127.0.0.1:1002"],
            ("PATH", _) => ["/one", "/other"],
            ("DURATION", _) => ["2s", "4s"],
            ("SIZE", _) => ["1KiB", "2KiB"],
            ("N", _) => ["1", "2"],
            ("TEXT" | "NAME" | "HOST" | "FILE" | "DIR" | "TOKEN", _) => ["one", "other"],
            ("ORIGIN", _) => ["https://one.test", "https://other.test"],
            ("FROM", _) => ["10.0.0.0/8", "unix"],
            ("STEPS", _) => ["fin", "delay:1s"],
            ("HOW", _) => ["off", "takeover"],
            ("PREFIX", _) => ["one", "other"],
            ("URL", "nats") => ["nats://one.test", "nats://other.test"],
            ("URL", _) => ["https://one.test", "https://other.test"],
            ("FORMAT", _) => ["json", "pretty"],
            (value, _) => panic!("add two values of {value} here, for --{}", self.long),
        }
    }

    fn takes_value(&self) -> bool {
        matches!(self.action, ArgAction::Set | ArgAction::Append)
    }

    /// The flag on the command line.
    fn written(&self, sample: usize) -> String {
        match self.takes_value() {
            true => format!("--{}={}", self.long, self.samples()[sample]),
            false => format!("--{}", self.long),
        }
    }

    /// The value of its variable.
    fn set(&self, sample: usize) -> &'static str {
        match self.takes_value() {
            true => self.samples()[sample],
            false => "true",
        }
    }

    /// The command line with `flags`, and the arguments that `self` requires.
    fn args<'a>(&self, flags: &[&'a str]) -> Vec<&'a str> {
        let companion: &[_] = match &self.id[..] {
            "tls_cert" => &["--tls-key=key"],
            "tls_key" => &["--tls-cert=cert"],
            "tls_self_signed_dir" => &["--tls-self-signed"],
            "tls_faults_root" => &["--tls-faults"],
            "upstream_ca" => &["--upstream=https://secure.test"],
            id if id.starts_with("api_") => &["--api"],
            // A name that is not given is another each time.
            "nats" => &["--api", "--node=n"],
            "node" => &["--api", "--nats=nats://n"],
            id if id.starts_with("nats_") => &["--api", "--node=n", "--nats=nats://n"],
            _ => &[],
        };
        let command: Vec<_> = self.command.into_iter().collect();
        [&command[..], companion, flags].concat()
    }
}

fn flags() -> Vec<Flag> {
    let command = Cli::command();
    let proxy = command.find_subcommand("proxy").expect("there is one");
    let mut flags = Vec::new();
    for (name, level) in [(None, &command), (Some("proxy"), proxy)] {
        for arg in level.get_arguments() {
            let Some(variable) = arg.get_env() else {
                let id = arg.get_id();
                assert!(id == "addresses", "{id} has no variable");
                continue;
            };
            let conflicts = level.get_arg_conflicts_with(arg);
            flags.push(Flag {
                command: name,
                id: arg.get_id().to_string(),
                long: arg.get_long().expect("a flag").to_owned(),
                variable: variable.to_str().expect("ASCII").to_owned(),
                action: arg.get_action().clone(),
                value: arg.get_value_names().map_or_else(
                    || arg.get_id().as_str().to_uppercase(),
                    |names| names[0].to_string(),
                ),
                conflicts: conflicts
                    .iter()
                    .map(|arg| arg.get_id().to_string())
                    .collect(),
            });
        }
    }
    flags
}

#[test]
fn every_variable_is_named_like_its_flag() {
    for flag in flags() {
        let name = flag.long.replace('-', "_").to_uppercase();
        assert_eq!(flag.variable, format!("ECHOBEAT_{name}"));
    }
}

#[test]
fn every_variable_stands_for_its_flag_unless_that_is_given() {
    for flag in flags() {
        let [one, other] = [flag.written(0), flag.written(1)];
        let variable = [(&flag.variable[..], flag.set(0))];
        let given = read(&flag.args(&[&one]), &[]).unwrap();
        let set = read(&flag.args(&[]), &variable).unwrap();
        assert_eq!(set, given, "{variable:?}");
        let without = read(&flag.args(&[]), &[]);
        assert_ne!(Some(set), without.ok(), "{variable:?} does something");

        let alone = read(&flag.args(&[&other]), &[]).unwrap();
        let both = read(&flag.args(&[&other]), &variable).unwrap();
        assert_eq!(both, alone, "{variable:?} and {other}");
    }
}

#[test]
fn every_empty_variable_is_an_absent_one() {
    let flags = flags();
    for command in [&[][..], &["proxy"]] {
        let all: Vec<_> = flags.iter().map(|flag| (&flag.variable[..], "")).collect();
        assert_eq!(read(command, &all).unwrap(), read(command, &[]).unwrap());
    }
}

#[test]
fn every_switch_that_is_off_is_an_absent_one() {
    let flags = flags();
    for off in ["false", "FALSE", "0", "no", "off"] {
        for command in [None, Some("proxy")] {
            let switches = flags
                .iter()
                .filter(|flag| flag.command == command && !flag.takes_value());
            let all: Vec<_> = switches.map(|flag| (&flag.variable[..], off)).collect();
            let command: Vec<_> = command.into_iter().collect();
            assert_eq!(read(&command, &all).unwrap(), read(&command, &[]).unwrap());
        }
    }
}

#[test]
fn the_command_line_wins_over_every_variable_that_contradicts_it() {
    let flags = flags();
    let mut pairs = 0;
    for one in &flags {
        let others = flags.iter().filter(|other| other.command == one.command);
        for other in others.filter(|other| one.conflicts.contains(&other.id)) {
            for (given, set) in [(one, other), (other, one)] {
                pairs += 1;
                let written = given.written(0);
                let args = given.args(&[&written]);
                let variable = (&set.variable[..], set.set(0));
                let alone = read(&args, &[]).unwrap();
                assert_eq!(
                    read(&args, &[variable]).unwrap(),
                    alone,
                    "{args:?} {variable:?}"
                );
                // Both in the environment are a contradiction.
                let both = [variable, (&given.variable, given.set(0))];
                let command: Vec<_> = one.command.into_iter().collect();
                let complaint = complaint(&command, &both);
                assert!(complaint.contains("ECHOBEAT_"), "{complaint}");
            }
        }
    }
    assert!(pairs >= 20, "{pairs}");
}

#[test]
fn whole_groups_of_variables_give_way() {
    let files = [("ECHOBEAT_TLS_CERT", "cert"), ("ECHOBEAT_TLS_KEY", "key")];
    let made = [
        ("ECHOBEAT_TLS_SELF_SIGNED", "1"),
        ("ECHOBEAT_TLS_SELF_SIGNED_DIR", "dir"),
    ];
    for (args, variables) in [
        (
            &["127.0.0.1:1"][..],
            &[("ECHOBEAT_LISTEN", "127.0.0.1:2,127.0.0.1:3")][..],
        ),
        (
            &["proxy", "127.0.0.1:1"],
            &[("ECHOBEAT_LISTEN", "127.0.0.1:2")],
        ),
        (&["--tls-self-signed"], &files),
        (&["--h2c"], &files),
        (&["--h2c"], &made),
        (&["--tls-faults"], &made),
        (&["--tls-faults"], &files),
        (&["proxy", "--h2c"], &made),
        (&["--tls-cert=a", "--tls-key=b"], &made),
        (&["-q"], &[("ECHOBEAT_VERBOSE", "1")]),
        (&["-v"], &[("ECHOBEAT_QUIET", "2")]),
        (&["--do=who"], &[("ECHOBEAT_NO_FAULTS", "1")]),
        (&["--do="], &[("ECHOBEAT_DO", "who")]),
        (&["--no-faults"], &[("ECHOBEAT_DO", "nonsense")]),
        (
            &["proxy", "--upstream=9001"],
            &[("ECHOBEAT_UPSTREAM_CA", "ca.pem")],
        ),
    ] {
        let alone = read(args, &[]).unwrap();
        assert_eq!(
            read(args, variables).unwrap(),
            alone,
            "{args:?} {variables:?}"
        );
    }
}

#[test]
fn a_flag_and_a_variable_may_belong_together() {
    let both = read(&["--tls-cert=cert", "--tls-key=key"], &[]).unwrap();
    let key = [("ECHOBEAT_TLS_KEY", "key")];
    assert_eq!(read(&["--tls-cert=cert"], &key).unwrap(), both);
    let self_signed = [("ECHOBEAT_TLS_SELF_SIGNED", "yes")];
    let kept = read(&["--tls-self-signed", "--tls-self-signed-dir=d"], &[]).unwrap();
    assert_eq!(
        read(&["--tls-self-signed-dir=d"], &self_signed).unwrap(),
        kept
    );
}

#[test]
fn switches_take_words_and_numbers() {
    for (value, flags) in [
        ("true", &["-v"][..]),
        ("YES", &["-v"]),
        ("on", &["-v"]),
        ("1", &["-v"]),
        ("2", &["-vv"]),
        ("200", &["-vvv"]),
        ("false", &[]),
        ("0", &[]),
    ] {
        let set = read(&[], &[("ECHOBEAT_VERBOSE", value)]).unwrap().2.verbose;
        let given = read(flags, &[]).unwrap().2.verbose;
        assert_eq!(set.min(3), given, "{value}");
    }
    for name in ["ECHOBEAT_VERBOSE", "ECHOBEAT_H2C"] {
        let complaint = complaint(&[], &[(name, "maybe")]);
        let named = format!("invalid value 'maybe' for '{name}': write true");
        assert!(complaint.contains(&named), "{complaint}");
    }
}

#[test]
fn lists_have_commas_and_may_have_stray_ones() {
    let given = read(&["--path=/a", "--path=/b"], &[]).unwrap();
    for list in ["/a,/b", " /a , /b ", ",/a,,/b,", "/a,\n/b\n"] {
        assert_eq!(
            read(&[], &[("ECHOBEAT_PATH", list)]).unwrap(),
            given,
            "{list:?}"
        );
    }
    for nothing in [",", " ", " , "] {
        let set = read(&[], &[("ECHOBEAT_PATH", nothing)]).unwrap();
        assert_eq!(set, read(&[], &[]).unwrap(), "{nothing:?}");
    }
}

#[test]
fn errors_name_the_variable_where_it_was_the_variable() {
    for (variables, named) in [
        (
            &[("ECHOBEAT_HEARTBEAT", "soon")][..],
            "'soon' for 'ECHOBEAT_HEARTBEAT'",
        ),
        (
            &[("ECHOBEAT_LISTEN", "9000,nowhere")],
            "'nowhere' for 'ECHOBEAT_LISTEN'",
        ),
        (
            &[("ECHOBEAT_LOG_FORMAT", "xml")],
            "'xml' for 'ECHOBEAT_LOG_FORMAT'",
        ),
        (&[("ECHOBEAT_DO", "nothing")], "for 'ECHOBEAT_DO'"),
        (&[("ECHOBEAT_TLS_CERT", "cert")], "ECHOBEAT_TLS_CERT"),
        (
            &[("ECHOBEAT_LISTEN", "9000,9000")],
            "ECHOBEAT_LISTEN: the address",
        ),
        (
            &[("ECHOBEAT_VERBOSE", "1"), ("ECHOBEAT_QUIET", "1")],
            "'ECHOBEAT_VERBOSE' cannot be used with 'ECHOBEAT_QUIET'",
        ),
    ] {
        let complaint = complaint(&[], variables);
        assert!(complaint.contains(named), "{variables:?}: {complaint}");
    }
    let complaint = complaint(&["proxy"], &[("ECHOBEAT_UPSTREAM_CA", "ca.pem")]);
    assert!(complaint.contains("ECHOBEAT_UPSTREAM_CA is for an https upstream"));
}

#[test]
fn errors_name_the_flag_where_it_was_the_flag() {
    let broken = [("ECHOBEAT_HEARTBEAT", "soon"), ("ECHOBEAT_PATH", "nowhere")];
    let complaint = complaint(&["--heartbeat=later"], &broken);
    assert!(
        complaint.contains("'later' for '--heartbeat <DURATION>'"),
        "{complaint}"
    );
}

#[test]
fn help_is_given_whatever_the_variables_say() {
    for args in [
        &["-h"][..],
        &["--help"],
        &["help"],
        &["proxy", "-h"],
        &["--version"],
    ] {
        let error = read(args, &[("ECHOBEAT_HEARTBEAT", "soon")]).unwrap_err();
        assert_eq!(error.exit_code(), 0, "{args:?}");
    }
}
