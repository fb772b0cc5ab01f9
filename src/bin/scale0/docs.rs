//! `scale0 completions` and `scale0 man`

use clap::CommandFactory;

use crate::commands::{Cli, CompletionsArguments, ManArguments};
use crate::exit::{Failed, Outcome};
use crate::output::print;

pub(crate) fn completions(arguments: &CompletionsArguments) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "scale0", &mut script);
    print(script)
}

pub(crate) fn man(arguments: &ManArguments) -> Outcome {
    let command = Cli::command();
    if let Some(directory) = &arguments.out {
        let written = std::fs::create_dir_all(directory)
            .and_then(|()| clap_mangen::generate_to(command, directory));
        return written.map_err(|error| {
            let directory = directory.display();
            Failed::Error(format!(
                "the man pages cannot be written to {directory}: {error}: name a directory that can be written to"
            ))
        });
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    print(page)
}
