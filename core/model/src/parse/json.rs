//! JSON text → nodes (RFC 8259, strictly). Written here because no JSON crate in use tells where in
//! the text a value stands. After a syntax error, what was read before it is kept.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::finding::Findings;
use super::node::{Entry, Node, Value};
use crate::problem::{Code, Path, Problem};

/// How deep values may be nested: as deep as in TOML, so that the stack is never at risk.
const DEPTH_MAX: usize = 80;

/// Reads the text; where it cannot be read, says why.
pub(super) fn read<'t>(text: &'t str, findings: &mut Findings) -> Node<'t> {
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
        broken: false,
        findings,
    };
    // Editors on Windows write a byte order mark.
    reader.eat("\u{feff}");
    let root = reader.value();
    reader.skip_space();
    if !reader.broken && reader.at < text.len() {
        reader.fail(
            reader.at..text.len(),
            "text after the end of the document",
            "remove it",
        );
    }
    root
}

struct Reader<'t, 'f> {
    text: &'t str,
    at: usize,
    depth: usize,
    /// Whether a syntax error ended the reading; containers then close with what they have.
    broken: bool,
    findings: &'f mut Findings,
}

impl<'t> Reader<'t, '_> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn fail(&mut self, span: Range<usize>, message: &str, help: &str) {
        self.fail_as(Code::Syntax, span, message, help);
        self.broken = true;
    }

    fn fail_as(&mut self, code: Code, span: Range<usize>, message: &str, help: &str) {
        self.findings
            .push(Problem::new(code, Path::root(), message, help), Some(span));
    }

    /// Reports what stands here instead of what is expected.
    fn unexpected(&mut self, expected: &str) {
        let help = format!("expected {expected} here");
        match self.peek() {
            Some(c) => {
                let span = self.at..self.at + c.len_utf8();
                self.fail(span, &format!("unexpected `{c}`"), &help);
            }
            None => self.fail(self.at..self.at, "the document ends too early", &help),
        }
    }

    fn value(&mut self) -> Node<'t> {
        self.skip_space();
        let start = self.at;
        let value = match self.peek() {
            Some('{') => self.nested(Self::table),
            Some('[') => self.nested(Self::list),
            Some('"') => self.string().map_or(Value::Broken, Value::Text),
            Some('-' | '0'..='9') => self.number(),
            Some('a'..='z' | 'A'..='Z') => self.word(),
            Some(_) | None => {
                self.unexpected("a value");
                Value::Broken
            }
        };
        Node {
            span: start..self.at,
            value,
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Value<'t>) -> Value<'t> {
        if self.depth == DEPTH_MAX {
            let help = "no part of a document needs more than 10 levels";
            self.fail_as(
                Code::TooDeep,
                self.at..self.at + 1,
                "values are nested too deep",
                help,
            );
            self.broken = true;
            return Value::Broken;
        }
        self.depth += 1;
        self.at += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn list(&mut self) -> Value<'t> {
        let mut items = Vec::new();
        self.skip_space();
        if !self.eat("]") {
            loop {
                items.push(self.value());
                if !self.another("]", "`,` or `]`") {
                    break;
                }
            }
        }
        Value::List(items)
    }

    fn table(&mut self) -> Value<'t> {
        let mut entries = Vec::new();
        let mut first: HashMap<Cow<'t, str>, usize> = HashMap::new();
        self.skip_space();
        if self.eat("}") {
            return Value::Table(entries);
        }
        while let Some((key, key_span)) = self.key() {
            let value = self.value();
            if let Some(earlier) = first.get(&key) {
                self.findings.push_duplicate(&key, key_span, Some(*earlier));
            } else {
                first.insert(key.clone(), key_span.start);
                entries.push(Entry {
                    key,
                    key_span,
                    value,
                });
            }
            if !self.another("}", "`,` or `}`") {
                break;
            }
        }
        Value::Table(entries)
    }

    /// A key with the colon after it.
    fn key(&mut self) -> Option<(Cow<'t, str>, Range<usize>)> {
        self.skip_space();
        let start = self.at;
        if self.peek() != Some('"') {
            self.unexpected("a key in quotes");
            return None;
        }
        let key = self.string()?;
        let span = start..self.at;
        self.skip_space();
        if !self.eat(":") {
            self.unexpected("`:`");
            return None;
        }
        Some((key, span))
    }

    /// Whether another element follows in a container; eats the comma, or the end.
    fn another(&mut self, end: &str, expected: &str) -> bool {
        self.skip_space();
        if self.broken || self.eat(end) {
            return false;
        }
        if !self.eat(",") {
            self.unexpected(expected);
            return false;
        }
        true
    }

    fn word(&mut self) -> Value<'t> {
        let rest = self.rest();
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        let (word, start) = (rest.get(..end).unwrap_or_default(), self.at);
        self.at += end;
        match word {
            "true" => Value::Boolean(true),
            "false" => Value::Boolean(false),
            "null" => Value::Null,
            word => {
                let message = format!("unexpected `{word}`");
                self.fail(start..self.at, &message, "write texts in double quotes");
                Value::Broken
            }
        }
    }

    fn number(&mut self) -> Value<'t> {
        let rest = self.rest();
        let legal = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
        let end = rest.find(|c| !legal(c)).unwrap_or(rest.len());
        let (number, start) = (rest.get(..end).unwrap_or_default(), self.at);
        self.at += end;
        let digits = number.strip_prefix('-').unwrap_or(number);
        let whole = digits.bytes().all(|b| b.is_ascii_digit());
        if whole && !digits.is_empty() && (digits == "0" || !digits.starts_with('0')) {
            let saturated = if number.starts_with('-') {
                i128::MIN
            } else {
                i128::MAX
            };
            Value::Integer(number.parse().unwrap_or(saturated))
        } else if is_fraction(digits) {
            Value::Other("a number with a fraction")
        } else {
            self.fail(
                start..self.at,
                &format!("`{number}` is not a number"),
                "write it as 12",
            );
            Value::Broken
        }
    }

    fn string(&mut self) -> Option<Cow<'t, str>> {
        let start = self.at;
        self.at += 1;
        let rest = self.rest();
        let stop = rest.find(|c: char| c == '"' || c == '\\' || c < ' ');
        let plain = stop.and_then(|stop| rest.split_at_checked(stop));
        if let Some((plain, after)) = plain
            && after.starts_with('"')
        {
            self.at += plain.len() + 1;
            return Some(Cow::Borrowed(plain));
        }
        let mut text = String::new();
        loop {
            let Some(c) = self.peek() else {
                self.fail(
                    start..start + 1,
                    "this text has no end",
                    "close it with `\"`",
                );
                return None;
            };
            match c {
                '"' => {
                    self.at += 1;
                    return Some(Cow::Owned(text));
                }
                '\\' => text.push(self.escape()?),
                c if c < ' ' => {
                    let message = format!("a text holds the character `{}`", c.escape_default());
                    let help = "write it as an escape, such as \\n or \\t";
                    self.fail(self.at..self.at + 1, &message, help);
                    return None;
                }
                c => {
                    self.at += c.len_utf8();
                    text.push(c);
                }
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let start = self.at;
        self.at += 1;
        let escaped = self.peek();
        self.at += escaped.map_or(0, char::len_utf8);
        let c = match escaped {
            Some(c @ ('"' | '\\' | '/')) => Some(c),
            Some('b') => Some('\u{8}'),
            Some('f') => Some('\u{c}'),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('u') => self.code_unit().and_then(|unit| self.code_point(unit)),
            Some(_) | None => None,
        };
        if c.is_none() {
            let help = "escapes are \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u with four hex digits";
            self.fail(start..self.at, "this is not an escape", help);
        }
        c
    }

    fn code_unit(&mut self) -> Option<u32> {
        let digits = self.rest().get(..4)?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    /// The character of a UTF-16 code unit, with the second unit of a surrogate pair if it needs one.
    fn code_point(&mut self, unit: u32) -> Option<char> {
        if !(0xd800..0xdc00).contains(&unit) {
            return char::from_u32(unit);
        }
        if !self.eat("\\u") {
            return None;
        }
        let low = self
            .code_unit()
            .filter(|low| (0xdc00..0xe000).contains(low))?;
        char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
    }
}

/// Whether these digits, without a sign, are a JSON number with a fraction or an exponent.
fn is_fraction(digits: &str) -> bool {
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    all_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(all_digits)
        && exponent.is_none_or(|text| all_digits(text.strip_prefix(['+', '-']).unwrap_or(text)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> (Node<'_>, Vec<Code>) {
        let mut findings = Findings::default();
        let node = super::read(text, &mut findings);
        (
            node,
            findings
                .into_problems(text)
                .iter()
                .map(|p| p.code)
                .collect(),
        )
    }

    fn reads(text: &str) -> bool {
        read(text).1.is_empty()
    }

    fn to_json(node: &Node<'_>) -> serde_json::Value {
        match &node.value {
            Value::Boolean(value) => (*value).into(),
            Value::Integer(number) => i64::try_from(*number).unwrap_or(i64::MAX).into(),
            Value::List(items) => items.iter().map(to_json).collect(),
            Value::Null | Value::Other(_) | Value::Broken => serde_json::Value::Null,
            Value::Table(entries) => {
                let entries = entries
                    .iter()
                    .map(|e| (e.key.to_string(), to_json(&e.value)));
                serde_json::Value::Object(entries.collect())
            }
            Value::Text(text) => text.to_string().into(),
        }
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::hash_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_another_json_writer_wrote_is_read_as_it_meant_it(value in any_json()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let (node, errors) = read(&text);
                prop_assert!(errors.is_empty());
                prop_assert_eq!(to_json(&node), value.clone());
            }
        }

        #[test]
        fn nothing_is_taken_for_json_that_another_reader_refuses(
            text in r#"[\[\]{},:" \\a-f0-9eEtrunl.+-]{0,12}"#,
        ) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            // Numbers beyond what a float holds are syntax to us, an error to them.
            let too_large = theirs.as_ref().is_err_and(|e| e.to_string().contains("out of range"));
            let (_, errors) = read(&text);
            let syntax = errors.iter().any(|code| *code != Code::DuplicateKey);
            prop_assert!(too_large || theirs.is_err() == syntax, "{text:?}: {theirs:?}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_before_the_stack_ends() {
        for text in ["[".repeat(1 << 20), "{\"a\":".repeat(1 << 20)] {
            let (_, errors) = read(&text);
            assert_eq!(errors, [Code::TooDeep]);
        }
    }

    #[test]
    fn a_byte_order_mark_and_escaped_characters_beyond_16_bits_are_read() {
        assert!(reads("\u{feff}{}"));
        let (node, errors) = read(r#""\ud83d\ude00\n\/""#);
        assert!(errors.is_empty());
        assert_eq!(to_json(&node), "\u{1f600}\n/");
        assert!(!reads(r#""\ud83d""#) && !reads(r#""\ude00""#) && !reads(r#""\u00g0""#));
    }
}
