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

/// Calls `change` with each machine of an answer: from one `instanceId` to the next. Nothing takes it out.
pub(super) fn each_machine(
    text: &str,
    mut change: impl FnMut(&str, &str) -> Option<String>,
) -> String {
    let (open, close) = ("<item><instanceId>", "</instanceId>");
    let mut parts = text.split(open);
    let mut made = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let id = part.split(close).next().unwrap_or_default().to_owned();
        // What follows the last machine of a reservation is not its own.
        let end = item_end(part);
        let (own, rest) = part.split_at(end);
        if let Some(own) = change(&id, own) {
            made.extend([open, &own]);
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
