//! What a controller does later than it is asked to.

use serde_json::{Value, json};

use super::gateway::{Gateway, error};
use super::http::{Asked, Given, forward};

/// What a task says of itself, look by look, before it has ended. It does its work only then, so that who does not wait
/// for it finds nothing done.
const STATES: [&str; 2] = ["Suspended", "Running"];

#[derive(Debug)]
pub(super) struct Task {
    asked: Asked,
    looks: usize,
}

impl Gateway {
    /// Does it later. Every second task is told of by itself, and the others by their monitors.
    pub(super) fn take_on(&self, asked: &Asked) -> Given {
        let tasks = &mut self.state().tasks;
        let place = format!("/tasks/{}/", tasks.len());
        let place = if is_monitor(tasks.len()) {
            format!("http://{}{place}", self.address)
        } else {
            place
        };
        tasks.push(Task {
            asked: asked.clone(),
            looks: 0,
        });
        Given::new(202, "").with("Location", &place)
    }

    pub(super) fn task(&self, number: &str) -> Given {
        let number: usize = number.parse().expect("the number of a task");
        let mut state = self.state();
        let Some(task) = state.tasks.get_mut(number) else {
            return error(404, "There is no such task.");
        };
        task.looks += 1;
        let (looks, asked) = (task.looks, task.asked.clone());
        let fails = state.failing.get(action(&asked)).cloned();
        drop(state);
        if let Some(state) = STATES.get(looks - 1) {
            let status = if is_monitor(number) { 202 } else { 200 };
            return Given::new(status, &json!({ "TaskState": state }));
        }
        if looks > STATES.len() + 1 && is_monitor(number) {
            return error(404, "There is no such task.");
        }
        let result = match fails {
            Some(told) => error(400, &told),
            None => self.work(&asked),
        };
        if is_monitor(number) {
            return result;
        }
        let ended = if result.status < 400 {
            "Completed"
        } else {
            "Exception"
        };
        let body: Value = serde_json::from_str(&result.body).unwrap_or_default();
        let messages = &body["error"]["@Message.ExtendedInfo"];
        Given::new(200, &json!({ "TaskState": ended, "Messages": messages }))
    }

    /// What a task does in the end.
    fn work(&self, asked: &Asked) -> Given {
        let body: Value = serde_json::from_str(&asked.body).unwrap_or_default();
        if let Some(tag) = body["AssetTag"].as_str() {
            tag.clone_into(&mut self.state().asset_tag);
            return Given::new(204, "");
        }
        let path = asked.path.trim_end_matches('/').to_owned();
        let backend = Asked {
            path,
            ..asked.clone()
        };
        forward(self.backend, &backend)
    }
}

/// The name of an action, such as `InsertMedia`.
pub(super) fn action(asked: &Asked) -> &str {
    asked.path.rsplit('.').next().unwrap_or_default()
}

fn is_monitor(number: usize) -> bool {
    number.is_multiple_of(2)
}
