//! `bedrock-gateway completions` and `man`: completion scripts and man pages, generated from the command line.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Context;
use clap::{Command, CommandFactory};
use clap_complete::Shell;

use super::CommandLine;

/// Print a completion script for a shell.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Shell.
    #[arg(value_enum, value_name = "SHELL")]
    pub shell: Shell,
}

const EXAMPLES: &str = "Examples:
  source <(bedrock-gateway completions bash)
  bedrock-gateway completions zsh > \"${fpath[1]}/_bedrock-gateway\"
  bedrock-gateway completions fish > ~/.config/fish/completions/bedrock-gateway.fish";

/// Print the man page, or write the man pages of all commands.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = MAN_EXAMPLES)]
pub struct ManArgs {
    /// Command whose man page is printed [default: the page of the program].
    #[arg(value_name = "COMMAND", conflicts_with = "directory")]
    pub command: Option<String>,
    /// Write all man pages to this directory.
    #[arg(long, value_name = "DIRECTORY")]
    pub directory: Option<PathBuf>,
}

const MAN_EXAMPLES: &str = "Examples:
  bedrock-gateway man | man -l -
  bedrock-gateway man --directory ~/.local/share/man/man1";

/// Writes the completion script to `out`.
///
/// # Errors
/// The output is closed.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> io::Result<()> {
    let mut command = CommandLine::command();
    let name = command.get_name().to_owned();
    // Into memory first: the generator panics if its output is closed.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, &name, &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if args.shell == Shell::Bash {
        // <https://github.com/clap-rs/clap/issues/6529>: the script spells a name with a hyphen in two ways, so it
        // completes no flags of commands.
        script = script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"));
    }
    out.write_all(script.as_bytes())
}

/// Writes one man page to `out`, or all pages to a directory.
///
/// # Errors
/// The command does not exist, the directory is not writable, or the output is closed.
pub(super) fn man(args: &ManArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut command = CommandLine::command().disable_help_subcommand(true);
    command.build();
    if let Some(directory) = &args.directory {
        let written = std::fs::create_dir_all(directory)
            .and_then(|()| clap_mangen::generate_to(command, directory));
        return written
            .with_context(|| format!("--directory: failed to write to {}", directory.display()));
    }
    let page = match &args.command {
        None => command,
        Some(name) => subcommand(&command, name)?,
    };
    clap_mangen::Man::new(page).render(out)?;
    Ok(())
}

fn subcommand(command: &Command, name: &str) -> anyhow::Result<Command> {
    let Some(found) = command.find_subcommand(name) else {
        let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        anyhow::bail!("no command {name}: use one of {}", names.join(", "));
    };
    Ok(found.clone())
}
