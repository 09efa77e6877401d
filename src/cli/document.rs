//! Documents about the command line itself: completions of a shell, and manual pages.

use std::io;

use clap::error::ErrorKind;
use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::Cli;

/// Name of the program, which completions are for.
const PROGRAM: &str = "echobeat";

/// Name of the group of manual pages.
const MANUAL: &str = "User Commands";

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct CompletionsArgs {
    /// Shell that is to complete
    shell: Shell,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(super) struct ManArgs {
    /// Command that the page is about [default: the server]
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

impl CompletionsArgs {
    /// The script that the shell is to load.
    pub(super) fn script(&self) -> Vec<u8> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), PROGRAM, &mut script);
        script
    }
}

impl ManArgs {
    /// The page, in roff.
    ///
    /// # Errors
    /// When there is no such command.
    pub(super) fn page(&self) -> Result<Vec<u8>, clap::Error> {
        let mut server = Cli::command();
        server.build();
        let Some(name) = &self.command else {
            return Ok(render(&server)?);
        };
        match server.find_subcommand(name) {
            Some(command) => Ok(render(command)?),
            None => {
                let complaint = format!("there is no command '{name}'");
                Err(server.error(ErrorKind::InvalidSubcommand, complaint))
            }
        }
    }
}

fn render(command: &Command) -> io::Result<Vec<u8>> {
    // Of an argument that a short help hides, clap_mangen leaves out the description.
    let shown = command.clone().mut_args(|arg| arg.hide_short_help(false));
    let man = Man::new(shown)
        .source(format!("{PROGRAM} {}", env!("CARGO_PKG_VERSION")))
        .manual(MANUAL);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(rest) = command.get_after_long_help() {
        sections(&rest.to_string()).to_writer(&mut page)?;
    }
    Ok(page)
}

/// The sections of the text after the flags of a long help. A line that is not indented is a heading;
/// the others stay as they are, because they are tables.
fn sections(text: &str) -> Roff {
    let mut roff = Roff::new();
    let mut is_table = false;
    for line in text.lines() {
        match line.strip_suffix(':').filter(|_| !line.starts_with(' ')) {
            Some(heading) => {
                if is_table {
                    roff.control("fi", []);
                }
                roff.control("SH", [&upper_case(heading)[..]]);
                roff.control("nf", []);
                is_table = true;
            }
            None => {
                roff.text([roman(line)]);
            }
        }
    }
    if is_table {
        roff.control("fi", []);
    }
    roff
}

/// A heading as manual pages have it. Flags keep their case.
fn upper_case(heading: &str) -> String {
    let words = heading.split(' ').map(|word| match word {
        flag if flag.starts_with('-') => flag.to_owned(),
        word => word.to_uppercase(),
    });
    words.collect::<Vec<_>>().join(" ")
}
