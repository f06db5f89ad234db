//! A probe that opens a TCP connection, and may send and expect some bytes.

use lb_model::config::TcpProbe;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Aim, ProbeFailure};
use crate::tls::Speak;

/// How much of an answer is looked at.
const ANSWER_MAX: usize = 4096;

pub(super) async fn probe(probe: &TcpProbe, target: &Aim<'_>) -> Result<String, ProbeFailure> {
    let TcpProbe { send, expect } = probe;
    let mut stream = target.connect(None, Speak::Http1).await?;
    if let Some(text) = send {
        let sent = stream.write_all(text.as_bytes()).await;
        sent.map_err(|source| ProbeFailure::Send { source })?;
    }
    let Some(pattern) = expect else {
        return Ok("connected".to_owned());
    };
    let mut answer = Vec::with_capacity(ANSWER_MAX);
    while answer.len() < ANSWER_MAX {
        let mut rest = (&mut stream).take((ANSWER_MAX - answer.len()) as u64);
        let read = rest.read_buf(&mut answer).await;
        let ended = read.map_err(|source| ProbeFailure::Receive { source })? == 0;
        if pattern.is_match(&answer) {
            return Ok(format!("the answer matches `{pattern}`"));
        }
        if ended {
            break;
        }
    }
    Err(ProbeFailure::Answer {
        expected: pattern.to_string(),
    })
}
