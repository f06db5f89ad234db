//! Header edits of rules, applied while a head is written.

use lb_model::config::HeaderEdits;

/// The edits of the rules that matched one message, in the order of the rules.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edits<'a>(Vec<&'a HeaderEdits>);

impl<'a> Edits<'a> {
    pub(crate) fn push(&mut self, edits: &'a HeaderEdits) {
        if !edits.is_empty() {
            self.0.push(edits);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a field that was sent is taken out: removed, or set anew.
    pub(crate) fn takes_out(&self, name: &[u8]) -> bool {
        self.0.iter().any(|edits| {
            edits.remove.iter().any(|removed| removed.matches(name))
                || edits.set.keys().any(|set| set.matches(name))
        })
    }

    /// Writes the fields that are set or added. Of two rules that set one field, the later wins.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for (position, edits) in self.0.iter().enumerate() {
            let later = self.0.get(position + 1..).unwrap_or_default();
            for (name, value) in &edits.set {
                let overruled = later
                    .iter()
                    .any(|edits| edits.set.contains_key(name) || edits.remove.contains(name));
                if !overruled {
                    line(out, name.as_str(), value.as_str());
                }
            }
            for (name, value) in &edits.add {
                if !later.iter().any(|edits| edits.remove.contains(name)) {
                    line(out, name.as_str(), value.as_str());
                }
            }
        }
    }
}

fn line(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}
