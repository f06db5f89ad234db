//! The objects of a noun as a table: a line for each, a column for each value that one of them has.

use lb_model::print::on_one_line;
use lb_model::schema::{Field, Kind, Noun};
use serde_json::Value;

/// The most columns besides the name, so that lines fit on a screen.
const COLUMNS_MAX: usize = 6;

/// The most characters of a cell.
const CELL_CHARS_MAX: usize = 36;

/// All objects of a noun, as the API lists them.
pub(super) fn table(noun: &Noun, objects: &Value) -> String {
    let objects: Vec<(&str, &Value)> = match objects {
        Value::Object(table) => table
            .iter()
            .map(|(name, object)| (&**name, object))
            .collect(),
        Value::Array(list) => list
            .iter()
            .map(|o| (o["name"].as_str().unwrap_or_default(), o))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    if objects.is_empty() {
        return format!("no {}s\n", noun.words());
    }
    let fields = match &noun.shape.kind {
        Kind::Table(fields) => &fields[..],
        Kind::Boolean
        | Kind::Choice(_)
        | Kind::Integer { .. }
        | Kind::IntegerOrText { .. }
        | Kind::List { .. }
        | Kind::Map { .. }
        | Kind::Text { .. }
        | Kind::Unknown => &[],
    };
    let is_shown = |field: &&Field| {
        let is_name = noun.is_list && field.name == "name";
        !is_name && field.name != "description" && objects.iter().any(|(_, o)| says(field, o))
    };
    let shown: Vec<_> = fields.iter().filter(is_shown).take(COLUMNS_MAX).collect();
    let head = std::iter::once("NAME".to_owned()).chain(
        shown
            .iter()
            .map(|field| field.name.replace('_', " ").to_uppercase()),
    );
    let mut rows = vec![head.collect::<Vec<_>>()];
    for (name, object) in &objects {
        let cells = shown.iter().map(|field| cell(field, object));
        rows.push(std::iter::once((*name).to_owned()).chain(cells).collect());
    }
    aligned(&rows)
}

/// Whether an object has a value here that need not be the default.
fn says(field: &Field, object: &Value) -> bool {
    let value = object.get(&field.name);
    value.is_some_and(|value| field.required || field.default.as_ref() != Some(value))
}

fn cell(field: &Field, object: &Value) -> String {
    let text = match object.get(&field.name) {
        None => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(table)) if field.shape.objects().is_some() => table.len().to_string(),
        Some(Value::Array(list)) if field.shape.objects().is_some() => list.len().to_string(),
        Some(value) => on_one_line(&field.shape, value),
    };
    let mut short: String = text.chars().take(CELL_CHARS_MAX).collect();
    if text.chars().nth(CELL_CHARS_MAX).is_some() {
        short.push('…');
    }
    short
}

fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use lb_model::schema::noun;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_has_the_columns_that_say_something() {
        let servers = json!({
            "iis1": { "address": "10.0.0.11:80", "weight": 100, "state": "enabled" },
            "iis2": { "address": "10.0.0.12:80", "weight": 50, "state": "enabled" },
        });
        assert_eq!(
            table(noun("server").unwrap(), &servers),
            "NAME  ADDRESS       WEIGHT\n\
             iis1  10.0.0.11:80  100\n\
             iis2  10.0.0.12:80  50\n"
        );
        let rules = json!([
            { "name": "api", "match": { "path": { "prefix": "/api/" } }, "action": { "pool": "api" } },
            { "name": "mark", "request_headers": { "set": { "X-A": "a".repeat(60) } } },
        ]);
        assert_eq!(
            table(noun("rule").unwrap(), &rules),
            "NAME  MATCH                            ACTION            REQUEST HEADERS\n\
             api   { path = { prefix = \"/api/\" } }  { pool = \"api\" }  -\n\
             mark  -                                -                 { set = { X-A = \"aaaaaaaaaaaaaaaaaaa…\n"
        );
        assert_eq!(table(noun("pool").unwrap(), &json!({})), "no pools\n");
        let pool = json!({ "web": { "servers": servers, "balance": "source_hash" } });
        assert_eq!(
            table(noun("pool").unwrap(), &pool),
            "NAME  SERVERS  BALANCE\nweb   2        source_hash\n"
        );
    }
}
