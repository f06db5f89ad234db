use super::url::Target;

fn parts(url: &str) -> Option<(Option<String>, Option<u16>, String)> {
    let target = Target::parse(url).ok()?;
    Some((target.authority, target.port, target.path_and_query))
}

#[test]
fn a_url_becomes_the_request_that_a_browser_would_send() {
    for (url, authority, port, path) in [
        ("http://shop.example", "shop.example", 80, "/"),
        (
            "https://shop.example:8443/a?b=c#d",
            "shop.example:8443",
            8443,
            "/a?b=c",
        ),
        ("shop.example/basket", "shop.example", 80, "/basket"),
        (
            "http://user:pw@[2001:db8::1]:81?x",
            "[2001:db8::1]:81",
            81,
            "/?x",
        ),
        ("http://[2001:db8::1]/", "[2001:db8::1]", 80, "/"),
    ] {
        let expected = (Some(authority.to_owned()), Some(port), path.to_owned());
        assert_eq!(parts(url), Some(expected), "{url}");
    }
    assert_eq!(parts("/a/../b"), Some((None, None, "/a/../b".to_owned())));
}

#[test]
fn what_is_no_url_is_refused() {
    for url in [
        "",
        "#x",
        "ftp://shop.example/",
        "http:///x",
        "http://a:b/",
        "a b",
        "http://a:99999/",
    ] {
        assert_eq!(parts(url), None, "{url}");
    }
}
