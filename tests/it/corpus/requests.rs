//! Requests: what is ambiguous is refused without reaching a server, what is merely unusual arrives
//! as it was meant, and what follows it arrives too.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use lb_tests::{Addressed, Balancer};

use super::case::{Case, Ending, Outcome};
use super::conversation::{Closed, Conversation, Delivery, holds_responses};
use super::message::{Message, show};
use super::recorder::Recorder;

/// How a case is put to the balancer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Approach {
    /// On a new connection.
    First(Delivery),
    /// On a connection that has served another request.
    Second,
}

impl Approach {
    /// Every approach.
    pub(super) const ALL: [Self; 3] = [
        Self::First(Delivery::Whole),
        Self::First(Delivery::Pieces),
        Self::Second,
    ];
}

/// A place where cases are put one after the other: a virtual service with a server of its own, so
/// that whatever reaches the server is of the present case.
pub(super) struct Lane {
    /// Where clients connect.
    address: SocketAddr,
    /// The server behind it.
    recorder: Recorder,
    balancer: Rc<Balancer>,
    /// How many clients have connected.
    clients: Cell<u32>,
}

/// Fields that the balancer adds, which most cases are not about.
const ADDED: [&str; 4] = [
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
];

const BEFORE: &[u8] = b"GET /before HTTP/1.1\r\nHost: shop\r\n\r\n";
const AFTER: &[u8] = b"GET /after HTTP/1.1\r\nHost: shop\r\n\r\n";
const FENCE: &[u8] = b"GET /fence HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";

/// What a server or a client must see in order.
struct Expected {
    requests: Vec<Message>,
    end: Outcome,
}

impl Lane {
    /// The lane of this server.
    pub(super) fn new(balancer: Rc<Balancer>, recorder: Recorder) -> Self {
        Self {
            address: balancer.address(recorder.name()),
            recorder,
            balancer,
            clients: Cell::new(0),
        }
    }

    async fn connect(&self) -> Conversation {
        self.clients.set(self.clients.get() + 1);
        Conversation::start(self.address).await
    }

    /// Waits until the balancer has done everything for clients that did not wait for it.
    async fn settled(&self) {
        let labels = [("virtual_service", self.recorder.name())];
        for (name, value) in [
            ("lb_virtual_service_connections_total", self.clients.get()),
            ("lb_virtual_service_active_connections", 0),
        ] {
            let value = value.into();
            self.balancer.metric_becomes(name, &labels, value).await;
        }
    }

    /// Puts a case to the balancer; what is wrong, if anything is.
    pub(super) async fn judge(&self, case: &Case, approach: Approach) -> Result<(), String> {
        let expected = Expected::of(case, approach);
        let answers = self.converse(case, approach, &expected).await;
        if matches!(case.ending, Ending::Close | Ending::Reset) {
            self.settled().await;
        }
        // Whatever the balancer has sent to the server before this is there when this is answered.
        let mut fence = self.connect().await;
        fence
            .say(&[FENCE], Ending::Stay, |heard| {
                holds_responses(heard, &[false])
            })
            .await?;
        let fenced = fence.response(false);
        let mut record = self.recorder.take();
        answers?;
        let number = record.requests.len().to_string();
        let fenced = fenced.map_err(|e| format!("the next client: {e}"))?;
        if fenced.values("x-request") != [number.as_bytes()] {
            return Err(format!("the next client got {}", fenced.shown()));
        }
        if !record.wrong.is_empty() {
            return Err(format!("the server got {:?}", record.wrong));
        }
        if record
            .requests
            .pop()
            .is_none_or(|last| !last.line.starts_with(b"GET /fence "))
        {
            return Err("the server got something behind the request of the next client".into());
        }
        if record.loose_bytes > 0
            && !matches!(expected.end, Outcome::Abort(_) | Outcome::Unfinished)
        {
            return Err(format!(
                "{} bytes of a part reached the server",
                record.loose_bytes
            ));
        }
        expected.compare(&record.requests, self.recorder.address())
    }

    /// What the client says and must hear.
    async fn converse(
        &self,
        case: &Case,
        approach: Approach,
        expected: &Expected,
    ) -> Result<(), String> {
        let mut client = self.connect().await;
        let mut heads: Vec<bool> = expected
            .requests
            .iter()
            .map(|r| r.line.starts_with(b"HEAD "))
            .collect();
        let mut number = 0;
        if matches!(approach, Approach::Second) {
            client
                .say(&[BEFORE], Ending::Stay, |heard| {
                    holds_responses(heard, &[false])
                })
                .await?;
            take_answer(&mut client, false, &mut number)?;
            heads.remove(0);
        }
        let stays = matches!(expected.end, Outcome::Pass { reusable: true, .. });
        let after = if stays && case.ending == Ending::Stay {
            AFTER
        } else {
            &[][..]
        };
        let bytes = [&case.sent, after].concat();
        let delivery = match approach {
            Approach::First(delivery) => delivery,
            Approach::Second => Delivery::Whole,
        };
        let enough = |heard: &[u8]| stays && holds_responses(heard, &heads);
        client
            .say(&delivery.cut(&bytes), case.ending, enough)
            .await?;
        if case.ending == Ending::Close {
            return Ok(());
        }
        for to_head in heads {
            take_answer(&mut client, to_head, &mut number)?;
        }
        match &expected.end {
            Outcome::Refuse(statuses) | Outcome::Abort(statuses) => {
                refused(&mut client, statuses)?;
            }
            Outcome::Pass { .. } => {}
            // The client has ended within a message; it may or may not be told.
            Outcome::Nothing | Outcome::Unfinished => return Ok(()),
            Outcome::Bad | Outcome::Cut(_) | Outcome::BadOrCut(_) => {
                return Err("this outcome is for responses".into());
            }
        }
        if client.heard().is_empty() {
            Ok(())
        } else {
            Err(format!("the client got {} more", show(client.heard())))
        }
    }
}

impl Expected {
    fn of(case: &Case, approach: Approach) -> Self {
        let mut requests = Vec::new();
        if matches!(approach, Approach::Second) {
            requests.push(Message::as_written(BEFORE));
        }
        for outcome in &case.outcomes {
            if let Outcome::Pass { message, .. } = outcome {
                requests.push(message.clone());
            }
        }
        let end = case
            .outcomes
            .last()
            .cloned()
            .expect("a case has an outcome");
        if matches!(end, Outcome::Pass { reusable: true, .. }) && case.ending == Ending::Stay {
            requests.push(Message::as_written(AFTER));
        }
        Self { requests, end }
    }

    /// Whether these are the requests that should have arrived.
    fn compare(&self, arrived: &[Message], server: SocketAddr) -> Result<(), String> {
        for (expected, arrived) in self.requests.iter().zip(arrived) {
            let expected = expected
                .clone()
                .with(b"SERVER-ADDRESS", &server.to_string());
            if arrived.values("x-forwarded-for") != [b"127.0.0.1"] {
                return Err(format!("who the client is was lost: {}", arrived.shown()));
            }
            let added: Vec<&str> = ADDED
                .into_iter()
                .filter(|name| !expected.has(name))
                .collect();
            let arrived = arrived.clone().without(&added);
            if arrived != expected {
                return Err(format!(
                    "the server got\n    {}\n  and not\n    {}",
                    arrived.shown(),
                    expected.shown()
                ));
            }
        }
        if self.requests.len() == arrived.len() {
            Ok(())
        } else {
            let lines: Vec<String> = arrived.iter().map(|request| show(&request.line)).collect();
            Err(format!(
                "the server got {} requests, not {}: {lines:?}",
                arrived.len(),
                self.requests.len()
            ))
        }
    }
}

/// The answer of the server to the next request.
fn take_answer(client: &mut Conversation, to_head: bool, number: &mut u32) -> Result<(), String> {
    let answer = loop {
        let answer = client.response(to_head)?;
        if answer.status() >= 200 {
            break answer;
        }
    };
    *number += 1;
    if answer.status() == 200 && answer.values("x-request") == [number.to_string().as_bytes()] {
        Ok(())
    } else {
        Err(format!(
            "the client got {} as answer {number}",
            answer.shown()
        ))
    }
}

/// A refusal of the balancer itself, and the end of the connection.
fn refused(client: &mut Conversation, statuses: &[u16]) -> Result<(), String> {
    let answer = loop {
        let answer = client.response(false)?;
        if answer.status() >= 200 {
            break answer;
        }
    };
    if answer.has("x-request") || !statuses.contains(&answer.status()) {
        return Err(format!(
            "the client got {} and not one of {statuses:?}",
            answer.shown()
        ));
    }
    let closes = |value: &&[u8]| value.eq_ignore_ascii_case(b"close");
    if !answer.values("connection").iter().any(closes) {
        return Err(format!(
            "the refusal does not say that it closes: {}",
            answer.shown()
        ));
    }
    match client.closed {
        Some(Closed::Finished) => Ok(()),
        Some(Closed::Reset) => Err("the refusal ends with a reset, which can destroy it".into()),
        None => Err("the connection stays open behind the refusal".into()),
    }
}
