//! What one HTTP/3 connection and the tasks of its requests share.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use quinn::SendStream;
use tokio::time::Instant;

use super::control::Known;
use super::frame::Code;
use crate::http2::calm::{self, Calm};
use crate::http2::message::RequestText;
use crate::quic::STREAMS_MAX;
use crate::stream::{Attendance, TlsFacts};

/// A connection as its requests see it.
pub(crate) struct Session {
    pub(super) connection: quinn::Connection,
    pub(super) tls: Option<Arc<TlsFacts>>,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) attendance: Rc<Attendance>,
    /// Which streams without an answer there are.
    pub(super) known: RefCell<Known>,
    /// Memory for the request that is being understood.
    pub(super) request: RefCell<(RequestText, Vec<u8>)>,
    calm: RefCell<Calm>,
    /// How many exchanges have come to their end since the budget was filled.
    completed: Cell<u32>,
    /// How many requests have somebody who works for them.
    streams: Cell<usize>,
    /// Why the connection has to end.
    fault: Cell<Option<Code>>,
    /// Answers that were sent and that the client may not have all of. There are no more than streams: each
    /// that the client has all of makes room for another.
    sent: RefCell<VecDeque<SendStream>>,
}

/// One request, for as long as somebody works for it.
pub(super) struct Held(Rc<Session>);

impl Session {
    pub(crate) fn new(
        connection: quinn::Connection,
        tls: Option<Arc<TlsFacts>>,
        (peer, local): (SocketAddr, SocketAddr),
        attendance: Rc<Attendance>,
    ) -> Self {
        Self {
            connection,
            tls,
            peer,
            local,
            attendance,
            known: RefCell::default(),
            request: RefCell::default(),
            calm: RefCell::new(Calm::new(Instant::now())),
            completed: Cell::new(0),
            streams: Cell::new(0),
            fault: Cell::new(None),
            sent: RefCell::default(),
        }
    }

    /// Begins a request.
    pub(super) fn hold(self: &Rc<Self>) -> Held {
        self.streams.set(self.streams.get() + 1);
        Held(Rc::clone(self))
    }

    /// How many requests somebody works for.
    pub(super) fn streams(&self) -> usize {
        self.streams.get()
    }

    /// Ends the connection for what the client did, at once.
    pub(super) fn fail(&self, code: Code) {
        if self.fault.get().is_none() {
            self.fault.set(Some(code));
            self.connection.close(code.into(), b"");
            self.attendance.nudge();
        }
    }

    /// Why the connection has to end, if it has.
    pub(super) fn fault(&self) -> Option<Code> {
        self.fault.get()
    }

    /// Pays for something that costs us more than the client; who has used up its budget is not served any
    /// longer.
    pub(super) fn pay(&self, cost: u32) {
        let mut calm = self.calm.borrow_mut();
        calm.fill(Instant::now(), self.completed.take());
        if calm.pay(cost).is_err() {
            drop(calm);
            self.fail(Code::ExcessiveLoad);
        }
    }

    /// Pays for a request that came to nothing for what the client did.
    pub(super) fn pay_broken(&self) {
        self.pay(calm::BROKEN_STREAM);
    }

    /// Takes note that an exchange has come to its end in order; the client may not have all of the answer
    /// yet.
    pub(super) fn complete(&self, stream: SendStream) {
        self.completed.set(self.completed.get().saturating_add(1));
        let mut sent = self.sent.borrow_mut();
        if sent.len() >= STREAMS_MAX as usize {
            sent.pop_front();
        }
        sent.push_back(stream);
    }

    /// Waits until the client has all that it was sent.
    pub(super) async fn delivered(&self) {
        while let Some(stream) = self.take_sent() {
            // It fails when the connection ends.
            if stream.stopped().await.is_err() {
                return;
            }
        }
    }

    fn take_sent(&self) -> Option<SendStream> {
        self.sent.borrow_mut().pop_front()
    }
}

impl Held {
    pub(super) fn session(&self) -> &Rc<Session> {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Self(session) = self;
        session.streams.set(session.streams.get() - 1);
        if session.streams.get() == 0 {
            session.attendance.nudge();
        }
    }
}
