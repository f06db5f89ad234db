use serde_json::json;

use super::*;

fn answer(status: u16, body: Value) -> Answer {
    let head = hyper::Response::builder().status(status).body(()).unwrap();
    let mut answer = Answer::new(&head.into_parts().0, b"");
    answer.body = body;
    answer
}

#[test]
fn why_something_is_refused_is_looked_for_where_controllers_say_it() {
    let message = |words: &str| json!([{ "MessageId": "Base.1.18.X", "Message": words }]);
    let bare = json!([{ "MessageId": "iLO.2.14.Busy" }]);
    let error = |messages: &Value| json!({ "error": { "message": "See more.", "@Message.ExtendedInfo": messages } });
    for (body, told) in [
        (error(&message("No.")), "No."),
        (
            error(&json!([{ "Message": "No." }, { "Message": "Never." }])),
            "No. Never.",
        ),
        (error(&bare), "See more."),
        (
            json!({ "error": { "@Message.ExtendedInfo": bare } }),
            "iLO.2.14.Busy",
        ),
        (json!({ "@Message.ExtendedInfo": message("No.") }), "No."),
        (json!({ "Messages": message("No.") }), "No."),
        (error(&message("\u{1b}[2J\r\nNo.\u{7}")), "[2J No."),
        (json!({ "error": "No." }), "it does not say why"),
        (json!([1, 2]), "it does not say why"),
        (Value::Null, "it does not say why"),
    ] {
        assert_eq!(answer(400, body.clone()).told(), told, "{body}");
    }
    let long = answer(400, error(&message(&"ä".repeat(10_000)))).told();
    assert_eq!(long.chars().count(), SHOWN_MAX);
}

#[test]
fn for_how_long_a_controller_is_busy_is_believed_within_reason() {
    let busy = |status: u16, field: &str| {
        let head = hyper::Response::builder().status(status);
        let head = head.header(RETRY_AFTER, field).body(()).unwrap();
        Answer::new(&head.into_parts().0, b"").busy()
    };
    assert_eq!(busy(503, "3"), Some(Duration::from_secs(3)));
    assert_eq!(busy(429, "0"), Some(PAUSE));
    assert_eq!(busy(503, "86400"), Some(PAUSE_MAX));
    assert_eq!(busy(503, "Wed, 21 Oct 2026 07:28:00 GMT"), Some(PAUSE));
    assert_eq!(busy(500, "3"), None);
    assert_eq!(busy(202, "3"), None);
}

#[test]
fn each_state_of_a_task_is_an_end_or_is_waited_for() {
    let runs = Progress::Runs(PAUSE);
    for state in [
        "New",
        "Starting",
        "Running",
        "Suspended",
        "Interrupted",
        "Pending",
        "Stopping",
        "Cancelling",
        "UserIntervention",
        "of a later version",
    ] {
        for status in [200, 202] {
            let task = answer(status, json!({ "TaskState": state }));
            assert_eq!(task.progress(), runs, "{state}");
        }
    }
    assert_eq!(answer(202, Value::Null).progress(), runs);
    assert_eq!(answer(503, Value::Null).progress(), runs);
    for state in ["Completed", "Service"] {
        let task = answer(200, json!({ "TaskState": state, "TaskStatus": "Warning" }));
        assert_eq!(task.progress(), Progress::Done, "{state}");
    }
    for status in [200, 204, 404, 410] {
        assert_eq!(answer(status, Value::Null).progress(), Progress::Done);
    }
    for state in ["Exception", "Killed", "Cancelled"] {
        let task = answer(200, json!({ "TaskState": state }));
        let Progress::Failed { status: 202, told } = task.progress() else {
            panic!("{state}");
        };
        assert!(told.contains(state), "{told}");
    }
}
