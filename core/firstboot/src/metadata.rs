//! The metadata service of EC2, version 2 alone: a token first, which no request forged by way of a
//! balancer gets (AWS, Instance Metadata Service v2).

use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::time::{Instant, sleep, timeout};

use crate::error::FirstBootError;
use crate::source::{BYTES_MAX, Found};

/// Where every machine of EC2 finds it.
const ADDRESS: &str = "169.254.169.254:80";

/// Another address, for those who stand in for EC2.
const VARIABLE: &str = "LBCTL_EC2_METADATA";

/// For how long an answer is waited for, and between two tries.
const ANSWER: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(500);

/// How long the token is good for, in seconds: for a first start.
const TOKEN_SECONDS: &str = "300";

/// Whether somebody says where the metadata is.
pub(crate) fn is_named() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

pub(crate) fn read(patience: Duration) -> Result<Found, FirstBootError> {
    let address = std::env::var(VARIABLE).unwrap_or_else(|_| ADDRESS.to_owned());
    let failed = |why: String| FirstBootError::Metadata {
        address: address.clone(),
        why,
    };
    let to: SocketAddr = address
        .parse()
        .map_err(|_| failed("this is no address".to_owned()))?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(error.to_string()))?;
    runtime.block_on(ask(to, patience)).map_err(failed)
}

async fn ask(to: SocketAddr, patience: Duration) -> Result<Found, String> {
    let until = Instant::now() + patience;
    // The network may have come up a moment ago.
    let token = loop {
        match get(to, Method::PUT, "/latest/api/token", None).await {
            Ok(Some(token)) => break token,
            Ok(None) => return Err("it gives no token".to_owned()),
            Err(why) if Instant::now() >= until => return Err(why),
            Err(_) => sleep(PAUSE).await,
        }
    };
    let ask = |path| get(to, Method::GET, path, Some(token.as_str()));
    let instance = ask("/latest/meta-data/instance-id").await?;
    Ok(Found {
        from: "EC2".to_owned(),
        instance: instance
            .ok_or("it does not say which instance this is")?
            .trim()
            .to_owned(),
        hostname: ask("/latest/meta-data/local-hostname")
            .await?
            .and_then(|name| name.trim().parse().ok()),
        user_data: ask("/latest/user-data").await?,
        lasting: None,
    })
}

/// What is there; nothing when there is no such thing.
async fn get(
    to: SocketAddr,
    method: Method,
    path: &str,
    token: Option<&str>,
) -> Result<Option<String>, String> {
    let exchange = exchange(to, method, path, token);
    match timeout(ANSWER, exchange).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
    }
}

async fn exchange(
    to: SocketAddr,
    method: Method,
    path: &str,
    token: Option<&str>,
) -> Result<Option<String>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(to).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("Host", to.to_string());
    let request = match token {
        Some(token) => request.header("X-aws-ec2-metadata-token", token),
        None => request.header("X-aws-ec2-metadata-token-ttl-seconds", TOKEN_SECONDS),
    };
    let answer = sender
        .send_request(request.body(Empty::<Bytes>::new())?)
        .await?;
    let status = answer.status();
    if status == StatusCode::NOT_FOUND {
        return Ok(None);
    }
    if !status.is_success() {
        return Err(format!("{path} is answered with {status}").into());
    }
    let limit = usize::try_from(BYTES_MAX)?;
    let body = Limited::new(answer.into_body(), limit).collect().await?;
    driver.abort();
    Ok(Some(String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}
