//! Responses: what is ambiguous becomes a 502, what breaks off is seen to break off, and a server
//! connection that said something odd is not used again.

use std::net::SocketAddr;
use std::sync::Arc;

use super::case::{Case, Ending, Outcome};
use super::conversation::{Closed, Conversation, Delivery, holds_responses};
use super::message::{Found, Message, Side, read, show};
use super::script::ScriptedServer;

/// A place where cases are put one after the other: a virtual service with a server of its own.
pub(super) struct Lane {
    /// Where clients connect.
    pub(super) address: SocketAddr,
    /// The server behind it.
    pub(super) server: ScriptedServer,
}

const ASK: &[u8] = b"GET /case HTTP/1.1\r\nHost: shop\r\n\r\n";
const NEXT: &[u8] = b"GET /next HTTP/1.1\r\nHost: shop\r\n\r\n";

/// Fields of one connection, which differ on the two sides.
const OF_THE_CONNECTION: [&str; 2] = ["Connection", "Transfer-Encoding"];

impl Lane {
    /// Lets the server answer as the case says; what is wrong, if anything is.
    pub(super) async fn judge(&self, case: &Arc<Case>, delivery: Delivery) -> Result<(), String> {
        self.server.rehearse(case, delivery);
        let asked = if case.asked.is_empty() {
            ASK
        } else {
            &case.asked[..]
        };
        let to_head = asked.starts_with(b"HEAD ");
        let end = case.outcomes.last().expect("a case has an outcome");
        let mut client = Conversation::start(self.address).await;
        let closes = matches!(end, Outcome::Cut(_)) || asked.windows(9).any(|w| w == b" HTTP/1.0");
        let enough = |heard: &[u8]| !closes && holds_responses(heard, &[to_head]);
        client.say(&[asked], Ending::Stay, enough).await?;
        if !case.sent_later.is_empty() {
            self.server.say_later_part().await;
        }
        let heard = match end {
            Outcome::Pass { .. } => passed(&mut client, &case.outcomes, to_head),
            Outcome::Bad => bad(&mut client, to_head),
            Outcome::Cut(status) => cut(&client, *status),
            Outcome::BadOrCut(status) => match cut(&client, *status) {
                Ok(()) => Ok(()),
                Err(_) => bad(&mut client, to_head),
            },
            Outcome::Refuse(_) | Outcome::Abort(_) | Outcome::Nothing | Outcome::Unfinished => {
                Err("this outcome is for requests".into())
            }
        };
        heard?;
        self.server.has_performed().await?;
        // The same client goes on, on its connection if that is still open.
        if client.closed.is_some() || closes || case.early {
            client = Conversation::start(self.address).await;
        }
        self.next(client).await?;
        if !matches!(end, Outcome::Pass { reusable: true, .. }) {
            self.server.case_connections_end().await?;
        }
        Ok(())
    }

    /// What comes next is answered by the server, and with what was asked for.
    async fn next(&self, mut client: Conversation) -> Result<(), String> {
        client
            .say(&[NEXT], Ending::Stay, |heard| {
                holds_responses(heard, &[false])
            })
            .await?;
        if client.closed.is_some() && client.heard().is_empty() {
            // The balancer has closed between the two requests, as it may.
            client = Conversation::start(self.address).await;
            client
                .say(&[NEXT], Ending::Stay, |heard| {
                    holds_responses(heard, &[false])
                })
                .await?;
        }
        let answer = client
            .response(false)
            .map_err(|e| format!("the next request: {e}"))?;
        if answer.has("x-plain") && answer.body == b"/next" && client.heard().is_empty() {
            Ok(())
        } else {
            Err(format!(
                "the next request got {} and {}",
                answer.shown(),
                show(client.heard())
            ))
        }
    }
}

fn passed(client: &mut Conversation, outcomes: &[Outcome], to_head: bool) -> Result<(), String> {
    for outcome in outcomes {
        let Outcome::Pass {
            message: expected, ..
        } = outcome
        else {
            continue;
        };
        let arrived = client.response(to_head)?.without(&OF_THE_CONNECTION);
        let added: &[&str] = if expected.has("content-length") {
            &[]
        } else {
            &["Content-Length"]
        };
        // A body whose length the server has not stated may be given one, if it is right.
        let arrived = arrived.without(added);
        if arrived != *expected {
            return Err(format!(
                "the client got\n    {}\n  and not\n    {}",
                arrived.shown(),
                expected.shown()
            ));
        }
    }
    if client.heard().is_empty() {
        Ok(())
    } else {
        Err(format!("the client got {} more", show(client.heard())))
    }
}

/// A 502 of the balancer, after interim answers at most.
fn bad(client: &mut Conversation, to_head: bool) -> Result<(), String> {
    let answer = loop {
        let answer = client.response(to_head)?;
        if answer.status() >= 200 {
            break answer;
        }
    };
    if answer.status() == 502 && client.heard().is_empty() {
        Ok(())
    } else {
        Err(format!(
            "the client got {} and {}",
            answer.shown(),
            show(client.heard())
        ))
    }
}

/// The beginning of an answer that the client cannot take for the whole.
fn cut(client: &Conversation, status: u16) -> Result<(), String> {
    let closed = client.closed == Some(Closed::Finished);
    let head: Message = match read(client.heard(), Side::Response { to_head: false }, closed) {
        Found::PartOfBody(head) => head,
        Found::Part if client.closed == Some(Closed::Reset) => return Ok(()),
        found @ (Found::Whole(..) | Found::Part | Found::Wrong(_)) => {
            return Err(format!(
                "the client got {found:?}: {}",
                show(client.heard())
            ));
        }
    };
    if client.closed.is_some() && head.status() == status {
        Ok(())
    } else {
        Err(format!(
            "the client got a part, {:?}: {}",
            client.closed,
            show(client.heard())
        ))
    }
}
