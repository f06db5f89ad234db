use lb_model::Format;
use lb_model::fleet::Target;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;

fn client(controller: &str) -> Client {
    let fleet = format!(
        "name = \"racks\"\n[balancers.lb1.target.redfish]\ncontroller = \"{controller}\"\nuser = \"lbctl\"\n\
         password_file = \"password\"\nimage = \"lbctl.iso\"\nmedia_address = \"10.0.0.2:0\"\naddress = \"10.0.0.5\"\n"
    );
    let fleet = lb_model::fleet::read(&fleet, Format::Toml).unwrap();
    let balancer = fleet.fleet().balancers.values().next().unwrap();
    let Target::Redfish(target) = &balancer.target else {
        panic!("another target");
    };
    Client::new(target, "secret").unwrap()
}

/// A controller that gives these answers, one after another; and the heads of what it was asked, when it has given all.
async fn controller(answers: Vec<String>) -> (Client, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let head = String::from_utf8(head).unwrap();
            let mut lengths = head
                .lines()
                .filter_map(|line| line.strip_prefix("content-length: "));
            let length: usize = lengths.next().map_or(0, |length| length.parse().unwrap());
            // What is not read would have the answer thrown away.
            stream.read_exact(&mut vec![0; length]).await.unwrap();
            asked.push(head);
            // Some are not read to their end.
            drop(stream.write_all(answer.as_bytes()).await);
        }
        asked
    });
    (client(&format!("http://{address}")), asked)
}

fn given(status: u16, fields: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{fields}\r\n{body}")
}

fn first_lines(asked: &[String]) -> Vec<&str> {
    let lines = asked.iter().filter_map(|head| head.lines().next());
    lines
        .map(|line| line.trim_end_matches(" HTTP/1.1"))
        .collect()
}

#[test]
fn a_url_that_the_controller_gives_is_a_path_below_what_stands_before_it() {
    let plain = client("https://bmc.example");
    for (url, path) in [
        ("/redfish/v1/Tasks/1", "/redfish/v1/Tasks/1"),
        (
            "https://bmc.example/redfish/v1/Tasks/1?x=2",
            "/redfish/v1/Tasks/1?x=2",
        ),
        ("http://10.0.0.9:8000/tasks/1/", "/tasks/1/"),
        ("/redfish/v1/Systems/1/", "/redfish/v1/Systems/1/"),
    ] {
        assert_eq!(plain.path_of(url), path);
    }
    let below = client("https://proxy.example/racks/7/");
    for (url, path) in [
        ("/racks/7/redfish/v1/", "/redfish/v1/"),
        ("https://proxy.example/racks/7/redfish/v1/", "/redfish/v1/"),
        ("/redfish/v1/", "/redfish/v1/"),
        ("/racks/77/redfish/v1/", "/racks/77/redfish/v1/"),
    ] {
        assert_eq!(below.path_of(url), path);
    }
}

#[test]
fn only_the_controller_itself_is_here() {
    let there = client("https://bmc.example");
    for url in [
        "/redfish/v1/",
        "https://bmc.example/x",
        "https://BMC.example:443/x",
    ] {
        assert!(there.is_here(url), "{url}");
    }
    for url in [
        "http://bmc.example/x",
        "https://bmc.example:8443/x",
        "https://other.example/x",
        "https://bmc.example@other.example/x",
        "not a URL",
    ] {
        assert!(!there.is_here(url), "{url}");
    }
}

#[tokio::test]
async fn a_controller_that_is_busy_for_a_while_is_asked_again_when_it_says() {
    let busy = given(503, "", "");
    let much = given(429, "Retry-After: 1\r\n", "{}");
    let answers = vec![
        busy.clone(),
        busy.clone(),
        busy.clone(),
        much,
        given(200, "", "{\"a\":1}"),
    ];
    let (client, asked) = controller(answers).await;
    let began = Instant::now();
    assert_eq!(client.get("/x").await.unwrap().body, json!({ "a": 1 }));
    assert!(began.elapsed() >= Duration::from_millis(2500));
    assert_eq!(asked.await.unwrap().len(), 5);
    // It has done nothing when it says so.
    let (client, asked) = controller(vec![busy, given(204, "", "")]).await;
    client.post("/x", &json!({})).await.unwrap();
    assert_eq!(asked.await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_fails_is_asked_for_again_only_when_nothing_is_changed() {
    let failed = given(500, "", "");
    let no_json = given(200, "", "<html>");
    let (client, asked) = controller(vec![failed.clone(), no_json, given(200, "", "{}")]).await;
    client.get("/x").await.unwrap();
    assert_eq!(asked.await.unwrap().len(), 3);
    let (client, asked) = controller(vec![failed.clone(), failed.clone(), failed.clone()]).await;
    let refused = client.get("/x").await.unwrap_err();
    assert!(
        matches!(refused, RedfishError::Refused { status: 500, .. }),
        "{refused}"
    );
    assert_eq!(asked.await.unwrap().len(), 3);
    let (client, asked) = controller(vec![failed]).await;
    let refused = client.post("/x", &json!({})).await.unwrap_err();
    let shown = "the management controller refuses POST /x (500): it does not say why";
    assert_eq!(refused.to_string(), shown);
    assert_eq!(asked.await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_answer_without_end_is_not_read() {
    let endless = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}",
        u64::MAX / 2,
        "1".repeat(5 << 20)
    );
    let (client, _asked) = controller(vec![endless]).await;
    let refused = client
        .follow(&Method::GET, "/x", None, None)
        .await
        .unwrap_err();
    assert!(
        matches!(refused, RedfishError::NotRedfish { .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn who_is_sent_on_goes_there_with_the_same_and_to_nobody_else() {
    let on = |code, to: &str| given(code, &format!("Location: {to}\r\n"), "");
    let (client, asked) = controller(vec![on(308, "/b/"), given(204, "", "")]).await;
    client.post("/a", &json!({})).await.unwrap();
    assert_eq!(first_lines(&asked.await.unwrap()), ["POST /a", "POST /b/"]);
    let (client, asked) = controller(vec![on(301, "/b"), given(200, "", "{}")]).await;
    client.get("/a").await.unwrap();
    assert_eq!(first_lines(&asked.await.unwrap()), ["GET /a", "GET /b"]);
    let (client, _asked) = controller(vec![on(307, "http://127.0.0.1:1/b")]).await;
    let refused = client.post("/a", &json!({})).await.unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("sends on to http://127.0.0.1:1/b"),
        "{refused}"
    );
    let (client, asked) = controller(vec![on(307, "/a"); 5]).await;
    let refused = client.post("/a", &json!({})).await.unwrap_err();
    assert!(refused.to_string().contains("sends on and on"), "{refused}");
    assert_eq!(asked.await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_change_names_the_version_and_whatever_there_is_when_that_does_not_match() {
    let version = |etag: &str| given(200, &format!("ETag: {etag}\r\n"), "{}");
    let in_body = given(200, "", r#"{"@odata.etag": "\"7\""}"#);
    let untold = given(200, "", "{}");
    let done = given(204, "", "");
    for (answers, named) in [
        (vec![version("\"7\""), done.clone()], vec!["\"7\""]),
        (vec![in_body, done.clone()], vec!["\"7\""]),
        (vec![untold.clone(), done.clone()], vec![]),
        (
            vec![version("W/\"7\""), given(412, "", ""), done.clone()],
            vec!["W/\"7\"", "*"],
        ),
        (vec![untold, given(428, "", ""), done], vec!["*"]),
    ] {
        let (client, asked) = controller(answers).await;
        client.patch("/x", &json!({})).await.unwrap();
        let asked = asked.await.unwrap().concat();
        let fields = asked
            .lines()
            .filter_map(|line| line.strip_prefix("if-match: "));
        assert_eq!(fields.collect::<Vec<_>>(), named, "{asked}");
    }
}

#[tokio::test]
async fn a_task_is_waited_for_until_it_says_that_it_has_ended() {
    let accepted = given(202, "Location: http://bmc.internal/tasks/1\r\n", "");
    let runs = given(202, "", r#"{"TaskState": "Running"}"#);
    let stops = given(200, "", r#"{"TaskState": "Stopping"}"#);
    for last in [
        given(204, "", ""),
        given(404, "", ""),
        given(200, "", r#"{"TaskState": "Completed", "TaskStatus": "OK"}"#),
    ] {
        let answers = vec![accepted.clone(), runs.clone(), stops.clone(), last];
        let (client, asked) = controller(answers).await;
        client.post("/x", &json!({})).await.unwrap();
        let asked = asked.await.unwrap();
        assert_eq!(first_lines(&asked)[1..], ["GET /tasks/1"; 3]);
    }
    for (last, told) in [
        (
            given(
                200,
                "",
                r#"{"TaskState": "Exception", "Messages": [{"Message": "No.\nNever."}]}"#,
            ),
            "refuses POST /x (202): its task has ended with Exception: No. Never.",
        ),
        (
            given(
                200,
                "",
                r#"{"TaskState": "Completed", "TaskStatus": "Critical"}"#,
            ),
            "refuses POST /x (202): its task has ended with Critical: it does not say why",
        ),
        (
            given(400, "", r#"{"error": {"message": "Not so."}}"#),
            "refuses POST /x (400): Not so.",
        ),
    ] {
        let (client, _asked) = controller(vec![accepted.clone(), last]).await;
        let refused = client.post("/x", &json!({})).await.unwrap_err();
        assert!(refused.to_string().ends_with(told), "{refused}");
    }
}

#[tokio::test]
async fn who_is_not_let_in_is_told_so_without_the_password() {
    let (client, _asked) = controller(vec![given(401, "", "")]).await;
    let refused = client.get("/x").await.unwrap_err();
    assert!(
        matches!(refused, RedfishError::Unauthorized { .. }),
        "{refused}"
    );
    for shown in [format!("{refused:?}"), format!("{client:?}")] {
        assert!(
            !shown.contains("secret") && !shown.contains("bGJjdGw6"),
            "{shown}"
        );
    }
}
