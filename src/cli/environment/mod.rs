//! Settings from the environment.
//!
//! A variable stands for its flag, as if it were the first on the command line. It has no effect if
//! it is empty, if it says that a flag is off, or if the command line has the same setting or one
//! that contradicts it: the command line wins.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::builder::{BoolishValueParser, Resettable, StyledStr, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

/// Arguments of one setting, which add up on the command line.
const SAME_SETTING: [&str; 2] = ["listen", "addresses"];

/// Sources of the settings that are not defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sources {
    variables: Vec<Variable>,
    /// The arguments on the command line.
    given: Vec<String>,
}

/// A variable that stands for a flag.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Variable {
    name: String,
    /// The argument that has its value.
    id: String,
    /// The flag as errors show it.
    shown: String,
    /// The flag as it would be on the command line.
    flags: Vec<OsString>,
}

/// The settings of `args`, the whole command line, and of the variables that `variable` looks up.
///
/// # Errors
/// When either is wrong, or help is asked for.
pub(super) fn matches(
    command: Command,
    mut args: Vec<OsString>,
    variable: impl Fn(&OsStr) -> Option<OsString>,
) -> Result<(ArgMatches, Sources), clap::Error> {
    let mut bare = without_variables(command.clone());
    bare.build();
    let given = given(&bare, &command, &args)?;
    let (level, given, behind) = match given.subcommand() {
        Some((name, given)) => (bare.find_subcommand(name), given, 2),
        None => (Some(&bare), &given, 1),
    };
    let named = names(&command, level.unwrap_or(&bare));
    let sources = Sources::new(level.unwrap_or(&bare), given, &named, variable)
        .map_err(|complaint| bare.clone().error(ErrorKind::InvalidValue, complaint))?;
    let behind = behind.min(args.len());
    args.splice(behind..behind, sources.flags());
    match bare.try_get_matches_from(args) {
        Ok(matches) => Ok((matches, sources)),
        Err(error) => Err(sources.explain(error)),
    }
}

/// The command without its variables, so that clap itself looks up none.
fn without_variables(command: Command) -> Command {
    command
        .mut_args(|arg| arg.env(Resettable::Reset))
        .mut_subcommands(without_variables)
}

/// Parses the command line alone. The short help comes from `bare`, without variables; the long one
/// from `command`.
fn given(bare: &Command, command: &Command, args: &[OsString]) -> Result<ArgMatches, clap::Error> {
    let is_long = args.iter().any(|arg| arg == "--help" || arg == "help");
    match bare.clone().try_get_matches_from(args) {
        // A variable may supply what is missing.
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {
            let lenient = bare.clone().ignore_errors(true);
            lenient.try_get_matches_from(args)
        }
        Err(error) if error.kind() == ErrorKind::DisplayHelp && is_long => {
            command.clone().try_get_matches_from(args)
        }
        given => given,
    }
}

/// Arguments of `level` that have a variable, each with the variable's name. Only the whole
/// `command` still knows the names.
fn names<'a>(command: &Command, level: &'a Command) -> Vec<(&'a Arg, OsString)> {
    let level_named = command.find_subcommand(level.get_name()).unwrap_or(command);
    let name = |arg: &Arg| {
        let same = |other: &&Arg| other.get_id() == arg.get_id();
        let named = level_named.get_arguments().find(same)?;
        named.get_env().map(OsStr::to_owned)
    };
    let arguments = level.get_arguments();
    arguments
        .filter_map(|arg| Some((arg, name(arg)?)))
        .collect()
}

impl Sources {
    fn new(
        level: &Command,
        matches: &ArgMatches,
        named: &[(&Arg, OsString)],
        variable: impl Fn(&OsStr) -> Option<OsString>,
    ) -> Result<Self, String> {
        let is_given = |arg: &&Arg| {
            matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
        };
        let given: Vec<&Arg> = level.get_arguments().filter(is_given).collect();
        let mut variables = Vec::new();
        for (arg, name) in named {
            let Some(value) = variable(name).filter(|value| !value.is_empty()) else {
                continue;
            };
            if !given.iter().any(|other| excludes(level, other, arg)) {
                variables.push(Variable::new(level, arg, name, &value)?);
            }
        }
        variables.retain(|variable| !variable.flags.is_empty());
        let given = given.iter().map(|arg| arg.get_id().to_string()).collect();
        Ok(Self { variables, given })
    }

    fn flags(&self) -> Vec<OsString> {
        let variables = self.variables.iter();
        variables
            .flat_map(|variable| variable.flags.clone())
            .collect()
    }

    /// Whether the argument stands on the command line.
    pub(super) fn is_given(&self, id: &str) -> bool {
        self.given.iter().any(|given| given == id)
    }

    /// The name of the variable that gives the argument its value, or `flag` if none does.
    pub(super) fn name<'a>(&'a self, id: &str, flag: &'a str) -> &'a str {
        let variable = self.variables.iter().find(|variable| variable.id == id);
        variable.map_or(flag, |variable| &variable.name)
    }

    /// Names the variable in place of the flag that it stands for.
    fn explain(&self, mut error: clap::Error) -> clap::Error {
        for kind in [ContextKind::InvalidArg, ContextKind::PriorArg] {
            let renamed = match error.get(kind) {
                Some(ContextValue::String(shown)) => ContextValue::String(self.rename(shown)),
                Some(ContextValue::Strings(shown)) => {
                    ContextValue::Strings(shown.iter().map(|shown| self.rename(shown)).collect())
                }
                _ => continue,
            };
            error.insert(kind, renamed);
        }
        if error.kind() == ErrorKind::MissingRequiredArgument && !self.variables.is_empty() {
            let names: Vec<_> = self.variables.iter().map(|set| &set.name[..]).collect();
            let tip = StyledStr::from(format!("from the environment: {}", names.join(", ")));
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
        }
        error
    }

    fn rename(&self, shown: &str) -> String {
        let variable = self
            .variables
            .iter()
            .find(|variable| variable.shown == shown);
        variable.map_or(shown, |variable| &variable.name).to_owned()
    }
}

/// Whether `given` on the command line overrides a variable of `other`.
fn excludes(level: &Command, given: &Arg, other: &Arg) -> bool {
    let is_setting = |arg: &Arg| SAME_SETTING.contains(&arg.get_id().as_str());
    let contradicts = |one: &Arg, other: &Arg| {
        let conflicts = level.get_arg_conflicts_with(one);
        conflicts.iter().any(|arg| arg.get_id() == other.get_id())
    };
    given.get_id() == other.get_id()
        || is_setting(given) && is_setting(other)
        || contradicts(given, other)
        || contradicts(other, given)
}

impl Variable {
    fn new(level: &Command, arg: &Arg, name: &OsStr, value: &OsStr) -> Result<Self, String> {
        let name = name.to_string_lossy().into_owned();
        let shown_value = value.to_string_lossy();
        let flags = flags(level, arg, value)
            .map_err(|hint| format!("invalid value '{shown_value}' for '{name}': {hint}"))?;
        Ok(Self {
            name,
            id: arg.get_id().to_string(),
            shown: arg.to_string(),
            flags,
        })
    }
}

/// The flags that a value stands for: none if it says that the flag is off.
fn flags(level: &Command, arg: &Arg, value: &OsStr) -> Result<Vec<OsString>, &'static str> {
    let flag = OsString::from(format!("--{}", arg.get_long().unwrap_or_default()));
    let is_path = arg.get_value_parser().type_id() == value_parser!(PathBuf).type_id();
    let with = |value: &OsStr| {
        let mut flag = flag.clone();
        flag.push("=");
        flag.push(value);
        flag
    };
    let Some(text) = value.to_str() else {
        let is_fine = is_path && matches!(arg.get_action(), ArgAction::Set);
        return is_fine.then(|| vec![with(value)]).ok_or("it is not UTF-8");
    };
    let is_true = BoolishValueParser::new().parse_ref(level, None, value);
    match (arg.get_action(), arg.get_value_delimiter()) {
        (ArgAction::SetTrue, _) => match is_true {
            Ok(is_true) => Ok(vec![flag; usize::from(is_true)]),
            Err(_) => Err("write true or false"),
        },
        (ArgAction::Count, _) => match (text.parse::<u8>(), is_true) {
            (Ok(times), _) => Ok(vec![flag; times.into()]),
            (_, Ok(is_true)) => Ok(vec![flag; usize::from(is_true)]),
            _ => Err("write true, false, or a number"),
        },
        (_, Some(delimiter)) => {
            let items = text.split(delimiter).map(str::trim);
            let items = items.filter(|item| !item.is_empty());
            Ok(items.map(|item| with(item.as_ref())).collect())
        }
        _ => Ok(vec![with(value)]),
    }
}

#[cfg(test)]
mod tests;
