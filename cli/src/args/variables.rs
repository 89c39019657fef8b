//! `-var` and `-var-file`, in the order in which they were typed: the last one counts.

use clap::builder::{StringValueParser, TypedValueParser};
use clap::{ArgMatches, Args, Command, FromArgMatches};

/// One `-var` or `-var-file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VariableArgument {
    /// `-var NAME=VALUE`
    Value {
        /// The variable.
        name: String,
        /// Its value as typed.
        text: String,
    },
    /// `-var-file FILE`
    File(String),
}

/// All `-var` and `-var-file`, in order.
#[derive(Clone, Debug, Default)]
pub struct Variables(pub Vec<VariableArgument>);

/// What the parser knows of them; it loses the order between the two.
#[derive(Debug, Args)]
struct Typed {
    /// Give a variable a value.
    #[arg(long, value_name = "NAME=VALUE", value_parser = assignment)]
    var: Vec<VariableArgument>,
    /// Read values of variables from a file.
    #[arg(long, value_name = "FILE", value_parser = file())]
    var_file: Vec<VariableArgument>,
}

/// Takes a text apart that gives a variable a value.
fn assignment(text: &str) -> Result<VariableArgument, String> {
    let (name, value) = text.split_once('=').ok_or("it must look like NAME=VALUE")?;
    Ok(VariableArgument::Value {
        name: name.to_owned(),
        text: value.to_owned(),
    })
}

fn file() -> impl TypedValueParser<Value = VariableArgument> {
    StringValueParser::new().map(VariableArgument::File)
}

impl FromArgMatches for Variables {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |id: &str| {
            let indices = matches.indices_of(id).into_iter().flatten();
            let values = matches.get_many::<VariableArgument>(id).into_iter().flatten().cloned();
            indices.zip(values).collect::<Vec<_>>()
        };
        let mut all = [given("var"), given("var_file")].concat();
        all.sort_by_key(|(index, _)| *index);
        Ok(Variables(all.into_iter().map(|(_, argument)| argument).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for Variables {
    fn augment_args(command: Command) -> Command {
        Typed::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Typed::augment_args_for_update(command)
    }
}
