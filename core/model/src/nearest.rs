//! The name that was probably meant.

/// The candidate most like `name`, if any is like it at all. Case and `-` for `_` do not count.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Names differ by typing errors or are cut short; anything longer is not a name.
    const NAME_BYTES_MAX: usize = 256;
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', ' '], "_");
    let name = plain(name);
    candidates
        .into_iter()
        .map(|candidate| (likeness(&name, &plain(candidate)), candidate))
        .filter(|(likeness, _)| *likeness >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// From 0, nothing alike, to 1, the same. One slip in a short name counts for little.
fn likeness(a: &str, b: &str) -> f64 {
    let slip = a.len() >= 3 && strsim::damerau_levenshtein(a, b) == 1;
    strsim::jaro_winkler(a, b).max(if slip { 0.9 } else { 0.0 })
}

/// `did you mean X? ` when there is an X.
pub(crate) fn did_you_mean<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    nearest(name, candidates).map_or_else(String::new, |name| format!("did you mean `{name}`? "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_or_a_short_form_finds_the_name() {
        let keys = ["health_check", "least_connections", "weight", "servers"];
        let near = |name| nearest(name, keys);
        assert_eq!(near("wieght"), Some("weight"));
        assert_eq!(near("Health-Check"), Some("health_check"));
        assert_eq!(near("least_conn"), Some("least_connections"));
        assert_eq!(near("server"), Some("servers"));
        assert_eq!(near("colour"), None);
        assert_eq!(nearest("wbe", ["api", "web"]), Some("web"));
    }
}
