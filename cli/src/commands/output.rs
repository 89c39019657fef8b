//! `simdb output`.

use std::collections::BTreeMap;

use simdb_state::json::{Json, Members};
use simdb_state::object::{Output as Recorded, State};
use simdb_state::sensitive::SecretName;
use simdb_state::store::Store;

use crate::args::Output;
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::{Project, block_on};
use crate::target::unknown;
use crate::ui::Ui;
use crate::views::doc::StateDoc;
use crate::views::human;
use crate::views::json::document;

/// Shows outputs of the last apply. A sensitive one is shown to who asks for it by `-raw` or `-json`.
pub(super) fn run(arguments: &Output, ui: &Ui) -> Result<Exit, CliError> {
    block_on(async {
        let store = Project::open()?.store().await?;
        let state = match &store {
            Some(store) => store.snapshot().await?.state,
            None => State::default(),
        };
        ui.answer(&match &arguments.name {
            Some(name) => one(name, arguments, store.as_ref(), &state).await?,
            None => all(arguments, store.as_ref(), &state).await?,
        });
        Ok(Exit::Done)
    })
}

async fn all(arguments: &Output, store: Option<&Store>, state: &State) -> Result<String, CliError> {
    if !arguments.json {
        return Ok(human::outcome::outputs(&StateDoc::new(state, 0).outputs));
    }
    let mut document_of_all = BTreeMap::new();
    for (name, output) in &state.outputs {
        let value = value(name, output, store).await?;
        let sensitive = matches!(output, Recorded::Sensitive);
        let members = [("sensitive".to_owned(), sensitive.into()), ("value".to_owned(), value)];
        document_of_all.insert(name, Json::Object(Members::from_iter(members)));
    }
    Ok(document(&document_of_all))
}

async fn one(name: &str, arguments: &Output, store: Option<&Store>, state: &State) -> Result<String, CliError> {
    let output = state.outputs.get(name);
    let output = output.ok_or_else(|| unknown("output", name, state.outputs.keys().cloned()))?;
    if arguments.json {
        return Ok(document(&value(name, output, store).await?));
    }
    if arguments.raw {
        return raw(name, &value(name, output, store).await?);
    }
    Ok(match output {
        Recorded::Value(value) => human::value::inline(value) + "\n",
        Recorded::Sensitive => format!("<sensitive>: to see it, add -raw or -json: simdb output -raw {name}\n"),
    })
}

/// Returns a value as it is, without an end of line, for scripts.
fn raw(name: &str, value: &Json) -> Result<String, CliError> {
    match value {
        Json::String(text) => Ok(text.clone()),
        Json::Number(_) | Json::Bool(_) => Ok(value.to_string()),
        Json::Null | Json::Array(_) | Json::Object(_) => Err(CliError::refused(
            "Output without a raw form",
            format!("Output \"{name}\" is no string, number or bool. Ask for JSON: simdb output -json {name}"),
        )),
    }
}

async fn value(name: &str, output: &Recorded, store: Option<&Store>) -> Result<Json, CliError> {
    if let Recorded::Value(value) = output {
        return Ok(value.clone());
    }
    let secret = match store {
        Some(store) => store.secret(&SecretName::output(name)).await?,
        None => None,
    };
    // An output whose secret was lost is as good as one without a value.
    Ok(secret
        .and_then(|text| Json::parse(text.expose()).ok())
        .unwrap_or_default())
}
