//! The Terraform provider of lbctl: running balancers as resources.
//!
//! Everything that a resource has comes from the model of the document: its attributes, their
//! descriptions, limits and defaults. Terraform's plugin protocol is spoken here without a framework
//! (docs/decisions/0016-terraform-provider.md).

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::UnixStream;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::log::{Level, log};
use crate::plugin::{Plugin, StartError};
use crate::server::Server;

mod action;
mod balancer;
mod certificate;
mod check;
mod data;
mod diagnostic;
#[cfg(test)]
mod docs;
mod document;
mod ephemeral;
mod function;
mod grpc;
mod list;
mod log;
mod plan;
mod plugin;
mod provider;
mod resource;
mod schema;
mod server;
mod value;
mod ways;
mod wire;

/// The name of the provider in configurations.
const SOURCE: &str = "registry.terraform.io/lbctl/lbctl";

const HELP: &str = "\
The Terraform provider of lbctl. Terraform starts it; nobody else needs to.

  terraform-provider-lbctl --version   its version
  terraform-provider-lbctl --debug     waits for a Terraform that is started with the variable that it
                                       prints, so that it can be looked at while it works
";

fn main() -> ExitCode {
    let argument = std::env::args().nth(1);
    let done = match argument.as_deref() {
        None => run(false),
        Some("--debug") => run(true),
        Some("--version") => say(concat!(
            "terraform-provider-lbctl ",
            env!("CARGO_PKG_VERSION"),
            "\n"
        )),
        Some("--help" | "-h") => say(HELP),
        Some(other) => return misuse(&format!("`{other}` is no argument of it; see --help")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => misuse(&diagnostic::chain(&error)),
    }
}

fn misuse(reason: &str) -> ExitCode {
    let _told = writeln!(std::io::stderr(), "error: {reason}");
    ExitCode::from(2)
}

fn say(text: &str) -> Result<(), StartError> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(StartError::Output)
}

fn run(is_debug: bool) -> Result<(), StartError> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::Output)?;
    runtime.block_on(async {
        let plugin = if is_debug {
            Plugin::listen(None)?
        } else {
            Plugin::start()?
        };
        // Terraform says itself when a run is over. A Ctrl-C reaches the whole group of processes, and
        // must not take away what is being written.
        let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Output)?;
        tokio::spawn(async move { while interrupt.recv().await.is_some() {} });
        if is_debug {
            say(&format!(
                "TF_REATTACH_PROVIDERS='{}'\n",
                plugin.reattach(SOURCE)
            ))?;
        } else {
            plugin.announce()?;
        }
        serve(&plugin, is_debug).await;
        Ok(())
    })
}

/// Answers until Terraform says that it is over, or has gone.
async fn serve(plugin: &Plugin, is_debug: bool) {
    let mut server = Arc::new(Server::new());
    loop {
        let accepted = tokio::select! {
            accepted = plugin.listener.accept() => accepted,
            () = server.ended() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                log(
                    Level::Warn,
                    "a connection was not accepted",
                    &[("error", &error)],
                );
                continue;
            }
        };
        let connection = tokio::spawn(connection(
            plugin.acceptor.clone(),
            stream,
            Arc::clone(&server),
        ));
        if is_debug {
            // Each run of Terraform configures the provider anew.
            server = Arc::new(Server::new());
            continue;
        }
        // Terraform has one connection: when that is lost, Terraform is.
        tokio::select! {
            _ = connection => return,
            () = server.ended() => return,
        }
    }
}

async fn connection(
    acceptor: Option<tokio_rustls::TlsAcceptor>,
    stream: UnixStream,
    server: Arc<Server>,
) {
    let ended = match acceptor {
        Some(acceptor) => match acceptor.accept(stream).await {
            Ok(stream) => grpc::serve(stream, server).await,
            Err(error) => {
                log(
                    Level::Warn,
                    "a connection was refused",
                    &[("error", &error)],
                );
                return;
            }
        },
        None => grpc::serve(stream, server).await,
    };
    if let Err(error) = ended {
        log(Level::Debug, "a connection ended", &[("error", &error)]);
    }
}
