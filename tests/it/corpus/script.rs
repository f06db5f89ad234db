//! The server of a lane that says whatever a case tells it to, and reports which of its connections
//! were used again or closed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use lb_tests::{Addressed, DEADLINE, eventually};

use super::case::{Case, Ending};
use super::conversation::Delivery;
use super::message::{Found, Message, Side, read, split_head};

/// A server that answers `/case` as the present case says, and everything else with its path.
pub(super) struct ScriptedServer {
    name: String,
    address: SocketAddr,
    stage: Arc<Stage>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Stage {
    play: Mutex<Option<Play>>,
    record: Mutex<Record>,
    /// The client has the first part of the answer: the later part may be sent.
    cue: Notify,
    /// The later part has been sent.
    played: Notify,
    /// How many times a case is being played right now.
    playing: watch::Sender<usize>,
}

#[derive(Clone)]
struct Play {
    case: Arc<Case>,
    delivery: Delivery,
}

/// Which connections of the server did what.
#[derive(Debug, Default)]
struct Record {
    connections: usize,
    /// Those on which the case was played.
    on_stage: BTreeSet<usize>,
    /// Those that have ended.
    ended: BTreeSet<usize>,
    /// What the server was asked, after the case was played on that connection.
    asked_again: Vec<String>,
}

impl ScriptedServer {
    /// Starts a server on a free port.
    pub(super) async fn start(name: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stage = Arc::<Stage>::default();
        let shared = Arc::clone(&stage);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = {
                    let mut record = shared.record.lock().unwrap();
                    record.connections += 1;
                    record.connections
                };
                let stage = Arc::clone(&shared);
                connections.spawn(async move {
                    serve(stream, number, &stage).await;
                    stage.record.lock().unwrap().ended.insert(number);
                });
            }
        });
        Self {
            name,
            address,
            stage,
            task,
        }
    }

    /// Prepares the next case.
    pub(super) fn rehearse(&self, case: &Arc<Case>, delivery: Delivery) {
        *self.stage.play.lock().unwrap() = Some(Play {
            case: Arc::clone(case),
            delivery,
        });
        let mut record = self.stage.record.lock().unwrap();
        record.on_stage.clear();
        record.asked_again.clear();
    }

    /// Lets the server say the later part, and waits until it has.
    pub(super) async fn say_later_part(&self) {
        self.stage.cue.notify_one();
        self.stage.played.notified().await;
    }

    /// Waits until the server has said all that the case has it say. Before that, nobody can tell an
    /// answer that was not asked for from a late one to the next request.
    pub(super) async fn has_performed(&self) -> Result<(), String> {
        let mut playing = self.stage.playing.subscribe();
        let ended = timeout(DEADLINE, playing.wait_for(|playing| *playing == 0)).await;
        match ended {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err("the server is still sending".to_owned()),
        }
    }

    /// Waits until every connection on which the case was played has ended; what was asked on one of
    /// them in between is a fault.
    pub(super) async fn case_connections_end(&self) -> Result<(), String> {
        eventually("the server connection is closed", async || {
            let record = self.stage.record.lock().unwrap();
            record.on_stage.is_subset(&record.ended).then_some(())
        })
        .await;
        let record = self.stage.record.lock().unwrap();
        if record.asked_again.is_empty() {
            Ok(())
        } else {
            Err(format!(
                "the server connection was used again: {:?}",
                record.asked_again
            ))
        }
    }
}

impl Addressed for ScriptedServer {
    fn name(&self) -> &str {
        &self.name
    }

    fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, number: usize, stage: &Stage) {
    stream.set_nodelay(true).unwrap();
    let mut bytes = Vec::new();
    while let Some(request) = next_request(&mut stream, &mut bytes, stage).await {
        {
            let mut record = stage.record.lock().unwrap();
            if record.on_stage.contains(&number) {
                record.asked_again.push(super::message::show(&request.line));
            }
        }
        let path = request
            .line
            .split(|b| *b == b' ')
            .nth(1)
            .unwrap_or_default()
            .to_vec();
        if path != b"/case" {
            let length = path.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nX-Plain: yes\r\nContent-Length: {length}\r\n\r\n");
            if stream
                .write_all(&[head.as_bytes(), &path].concat())
                .await
                .is_err()
            {
                return;
            }
            continue;
        }
        stage.record.lock().unwrap().on_stage.insert(number);
        let play = stage
            .play
            .lock()
            .unwrap()
            .clone()
            .expect("a case was prepared");
        stage.playing.send_modify(|playing| *playing += 1);
        let ending = perform(&mut stream, &play, stage).await;
        stage.playing.send_modify(|playing| *playing -= 1);
        match ending {
            Ending::Stay => {}
            Ending::Finish | Ending::Close | Ending::Reset => return,
        }
    }
}

/// The next request, or only its head when the case answers early.
async fn next_request(
    stream: &mut TcpStream,
    bytes: &mut Vec<u8>,
    stage: &Stage,
) -> Option<Message> {
    loop {
        let early = stage
            .play
            .lock()
            .unwrap()
            .as_ref()
            .is_some_and(|play| play.case.early);
        match read(bytes, Side::Request, false) {
            Found::Whole(message, length) => {
                bytes.drain(..length);
                return Some(message);
            }
            Found::PartOfBody(message) if early && message.line.starts_with(b"POST /case ") => {
                let head = bytes.len() - split_head(bytes).map_or(0, |(_, body)| body.len());
                bytes.drain(..head);
                return Some(message);
            }
            Found::Part | Found::PartOfBody(_) => {}
            Found::Wrong(_) => return None,
        }
        let Ok(1..) = stream.read_buf(bytes).await else {
            return None;
        };
    }
}

async fn perform(stream: &mut TcpStream, play: &Play, stage: &Stage) -> Ending {
    let case = &play.case;
    for piece in play.delivery.cut(&case.sent) {
        // The balancer may have seen enough.
        if stream.write_all(piece).await.is_err() {
            return Ending::Close;
        }
        tokio::task::yield_now().await;
    }
    if !case.sent_later.is_empty() {
        stage.cue.notified().await;
        let _closed = stream.write_all(&case.sent_later).await;
        stage.played.notify_one();
    }
    if case.ending == Ending::Reset {
        stream.set_zero_linger().unwrap();
    }
    case.ending
}
