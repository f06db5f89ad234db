//! `lbctl schema`: what a document may hold, for editors and other programs.

use lb_model::schema::json_schema;

use crate::args::Output;
use crate::output;
use crate::report::{Exit, Failure};
use crate::screen::Screen;

pub(super) fn run(screen: &Screen, output: Output) -> Result<Exit, Failure> {
    // A schema is for programs: what people get is the JSON too.
    let format = match output {
        Output::Table | Output::Json => Output::Json,
        Output::Yaml => Output::Yaml,
    };
    output::print(screen, format, json_schema(), |_| String::new())?;
    Ok(Exit::Done)
}
