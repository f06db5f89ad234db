//! The little of XML that the answers of EC2 need.

/// The texts of all elements with this name.
pub(super) fn all(text: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts = text.split(&open).skip(1);
    let texts = parts.filter_map(|part| part.split(&close).next());
    texts.map(str::to_owned).collect()
}

pub(super) fn first(text: &str, name: &str) -> Option<String> {
    all(text, name).into_iter().next()
}

/// Calls `change` with each machine of an answer. Nothing takes it out.
pub(super) fn each_machine(
    text: &str,
    mut change: impl FnMut(&str, &str) -> Option<String>,
) -> String {
    let open = "<instancesSet>";
    let mut sets = text.split(open);
    let mut made = sets.next().unwrap_or_default().to_owned();
    for set in sets {
        made.push_str(open);
        let mut rest = set;
        while let Some(inside) = rest.strip_prefix("<item>") {
            let (own, after) = inside.split_at(item_end(inside));
            let id = first(own, "instanceId").unwrap_or_default();
            if let Some(own) = change(&id, own) {
                made.extend(["<item>", &own]);
            }
            rest = after;
        }
        made.push_str(rest);
    }
    made
}

/// Where the item ends that has begun before this text.
fn item_end(text: &str) -> usize {
    let (mut depth, mut at) = (1_usize, 0);
    while let Some(next) = text.get(at..).and_then(|rest| rest.find('<')) {
        at += next;
        let rest = text.get(at..).unwrap_or_default();
        if rest.starts_with("<item>") {
            depth += 1;
        } else if rest.starts_with("</item>") {
            depth -= 1;
            if depth == 0 {
                return at + "</item>".len();
            }
        }
        at += 1;
    }
    text.len()
}

/// An error as EC2 has it.
pub(super) fn error(code: &str, message: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Errors><Error><Code>{code}</Code>\
         <Message>{message}</Message></Error></Errors><RequestID>1-2-3</RequestID></Response>"
    )
}
