//! Completions and manual pages, as the programs that they are for take them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::cli::echobeat;
use crate::support::soon;

/// Runs the program, which must end well and complain of nothing, and returns its output.
async fn printed(args: &[&str]) -> String {
    let output = soon(echobeat(args).output()).await.expect("it runs");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A new directory with one file of this content.
fn file(directory: &str, name: &str, content: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(directory);
    fs::create_dir_all(&directory).expect("a directory");
    let path = directory.join(name);
    fs::write(&path, content).expect("a file");
    path
}

/// Runs another program, which must complain of nothing, and returns the lines of its output.
async fn lines(program: &str, args: &[&str], path: &Path) -> BTreeSet<String> {
    let mut command = Command::new(program);
    command
        .args(args)
        .arg(path)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = soon(command.output()).await.expect("it is installed");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().map(str::to_owned).collect()
}

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}

#[tokio::test]
async fn a_manual_page_has_every_flag_with_its_meaning() {
    for (args, name) in [
        (&["man"][..], "echobeat"),
        (&["man", "proxy"], "echobeat\\-proxy"),
    ] {
        let page = printed(args).await;
        assert!(page.contains(&format!(".SH NAME\n{name} \\- ")), "{page}");
        assert!(page.contains("\n.SH EXAMPLES\n.nf\n"), "{page}");
        let flags: Vec<_> = page.split("\n.TP\n").skip(1).collect();
        assert!(flags.len() > 10, "{page}");
        for flag in flags {
            let (flag, meaning) = flag.split_once('\n').expect("a meaning");
            assert!(
                meaning.starts_with(char::is_alphabetic),
                "{flag}: {meaning}"
            );
        }
    }
}

#[tokio::test]
async fn a_manual_page_of_no_command_is_refused() {
    let output = soon(echobeat(&["man", "nonsense"]).output())
        .await
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let complaint = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(
        complaint.contains("there is no command 'nonsense'"),
        "{complaint}"
    );
}

#[tokio::test]
#[ignore = "needs groff"]
async fn groff_sets_the_manual_pages_without_a_warning() {
    for (name, args) in [("server", &["man"][..]), ("proxy", &["man", "proxy"])] {
        let path = file("man", name, &printed(args).await);
        let set = lines("groff", &["-Kutf8", "-man", "-ww", "-Tutf8"], &path).await;
        assert!(set.len() > 50, "{set:#?}");
    }
}

#[tokio::test]
#[ignore = "needs bash"]
async fn bash_completes_flags() {
    let path = file("bash", "echobeat", &printed(&["completions", "bash"]).await);
    let script = r#"
        source "$0"
        COMP_WORDS=(echobeat --heartbeat) COMP_CWORD=1
        _echobeat echobeat --heartbeat echobeat
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let completions = lines("bash", &["--norc", "-c", script], &path).await;
    assert_eq!(completions, set(&["--heartbeat", "--heartbeat-text"]));
}

#[tokio::test]
#[ignore = "needs zsh"]
async fn zsh_completes_flags() {
    let path = file("zsh", "_echobeat", &printed(&["completions", "zsh"]).await);
    // A shell on a terminal of its own: completion works in no other. It lists what it would insert.
    let script = r#"
        zmodload zsh/zpty
        zpty shell "TERM=dumb COLUMNS=200 zsh -f -i"
        zpty -w shell "PS1= PROMPT_EOL_MARK= fpath=(${0:h} \$fpath); autoload -U compinit; compinit -u -D"
        zpty -w shell "bindkey '^I' list-choices; echo rea''dy"
        zpty -r shell line '*ready*'
        zpty -w -n shell $'echobeat --heartbeat\t'
        zpty -r shell line '*--heartbeat-text*'
        print -r -- ${(M)${=line}:#--heartbeat-text}
    "#;
    let completions = lines("zsh", &["-f", "-c", script], &path).await;
    assert_eq!(completions, set(&["--heartbeat-text"]));
}

#[tokio::test]
#[ignore = "needs fish"]
async fn fish_completes_flags() {
    let path = file(
        "fish",
        "echobeat.fish",
        &printed(&["completions", "fish"]).await,
    );
    let script = "source $argv[1]; complete -C 'echobeat --heartbeat'";
    let completions = lines("fish", &["--no-config", "-c", script], &path).await;
    let flags = completions
        .iter()
        .filter_map(|line| line.split('\t').next());
    let flags: Vec<_> = flags.collect();
    assert_eq!(flags, ["--heartbeat", "--heartbeat-text"]);
}
