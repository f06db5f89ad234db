//! What changes a balancer, and remembers: history, access, audit and the admin API. It belongs to
//! one process at a time, while another may still serve what it has begun.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lb_control::api::{Api, ApiStartError, socket_path};
use lb_control::{
    Access, Applied, Audit, Caller, Change, Controller, Current, Digest, Proposal, Refused,
    Renewer, Stapler, Starting,
};
use lb_model::api::Source;
use tokio::task::JoinHandle;

use crate::certificate::Answers;
use crate::daemon::{Reread, StartError, Taken};
use crate::running::{Live, Running};
use crate::sockets::Sockets;
use crate::state_dir::StateDir;

/// How long a process before this one may take to let go of the state directory.
const PATIENCE: Duration = Duration::from_secs(3);

/// The state, read and not yet in use.
pub(crate) struct Opened {
    path: PathBuf,
    directory: StateDir,
    audit: Arc<Audit>,
    access: Access,
    starting: Starting,
    digest: Option<Digest>,
}

/// What changes a running balancer.
pub(crate) struct Control {
    controller: Arc<Controller<Live>>,
    access: Arc<Access>,
    api: Api,
    renewer: Renewer,
    stapler: Stapler,
    _directory: StateDir,
}

/// Something is still being changed.
#[derive(Debug, thiserror::Error)]
#[error("a change is still being made")]
pub(crate) struct Busy;

impl Opened {
    /// Opens the state.
    pub(crate) fn open(path: PathBuf, is_supervised: bool) -> Result<Self, StartError> {
        let patience = if is_supervised {
            PATIENCE
        } else {
            Duration::ZERO
        };
        let directory = StateDir::open(&path, patience)?;
        let audit = Arc::new(Audit::open(&path, lb_control::now)?);
        let access = Access::open(&path, Arc::clone(&audit), lb_control::now)?;
        let starting = Starting::open(lb_control::Options::new(&path))?;
        Ok(Self {
            path,
            directory,
            audit,
            access,
            starting,
            digest: None,
        })
    }

    /// Takes the document of the file, which comes into force with the rest.
    pub(crate) fn take(&mut self, taken: Taken) {
        let Taken { config, digest } = taken;
        self.starting.take(Arc::new(config), &machine_user(), None);
        self.digest = Some(digest);
    }

    /// What will be served.
    pub(crate) fn current(&mut self) -> Arc<Current> {
        self.starting.current()
    }

    /// Begins to take changes of what serves [`current`](Self::current).
    pub(crate) fn run(
        self,
        running: &Arc<Running>,
        sockets: &Sockets,
    ) -> Result<Control, StartError> {
        let Self {
            path,
            directory,
            audit,
            access,
            starting,
            digest,
        } = self;
        let controller = starting.run(Live(Arc::clone(running)), audit)?;
        if let Some(digest) = digest {
            remember(&controller, digest);
        }
        let (controller, access) = (Arc::new(controller), Arc::new(access));
        let socket = socket_path(&path)?;
        let lent = sockets
            .admin(&socket)
            .map_err(|source| ApiStartError::Listen {
                path: socket,
                source,
            })?;
        let places = running.admin_places();
        let api = Api::start(
            &path,
            lent,
            places,
            Arc::clone(&controller),
            Arc::clone(&access),
        )?;
        let answers = Arc::new(Answers(Arc::clone(running.challenges())));
        let renewer = Renewer::start(&controller, Arc::clone(running.keeper()), answers);
        let renewer = renewer.map_err(StartError::Control)?;
        let stapler = Stapler::start(&controller, Arc::clone(running.keeper()));
        let stapler = stapler.map_err(StartError::Control)?;
        Ok(Control {
            renewer,
            stapler,
            controller,
            access,
            api,
            _directory: directory,
        })
    }
}

impl Control {
    /// What makes changes.
    pub(crate) const fn controller(&self) -> &Arc<Controller<Live>> {
        &self.controller
    }

    /// The admin API.
    pub(crate) const fn api(&self) -> &Api {
        &self.api
    }

    /// Finishes what is being changed and lets go of the state.
    pub(crate) fn close(self) -> Result<(), Busy> {
        let Self {
            controller,
            access,
            api,
            renewer,
            stapler,
            _directory: directory,
        } = self;
        drop(api);
        drop(renewer);
        drop(stapler);
        // Whoever else has it is in the middle of a change, or may begin one.
        let controller = Arc::into_inner(controller).ok_or(Busy)?;
        drop(controller);
        if let Err(error) = access.store_last_use() {
            tracing::warn!(%error, "when tokens were used last is not remembered");
        }
        drop(directory);
        Ok(())
    }

    /// Takes the document from its file again, on a thread of its own: what is wrong with it is
    /// told, and changes nothing.
    pub(crate) fn reload(&self, reread: Arc<Reread>) -> JoinHandle<()> {
        let controller = Arc::clone(&self.controller);
        tokio::task::spawn_blocking(move || match take_again(&controller, &*reread) {
            Ok(Applied {
                revision, is_new, ..
            }) => {
                let revision = revision.number;
                tracing::info!(revision, is_new, "the document was read again");
            }
            Err(error) => {
                let cause = error.source().map(ToString::to_string);
                tracing::error!(%error, cause, "the document was read again, and is not taken");
            }
        })
    }
}

fn take_again(
    controller: &Controller<Live>,
    reread: &Reread,
) -> Result<Applied, Box<dyn Error + Send + Sync>> {
    let Taken { config, digest } = reread()?;
    let applied = controller.apply(Proposal {
        author: Caller::administrator(machine_user()),
        source: Source::File,
        comment: None,
        change: Change::Document(Box::new(config.config().clone())),
        parent: None,
        expected: Vec::new(),
        confirm: None,
    });
    let applied = applied.map_err(|refused: Refused| Box::new(refused))?;
    controller.refresh().map_err(Box::new)?;
    remember(controller, digest);
    Ok(applied)
}

/// A file that is not remembered is taken again at the next start.
fn remember(controller: &Controller<Live>, digest: Digest) {
    if let Err(error) = controller.remember_file(digest) {
        tracing::error!(%error, "the file of the document cannot be remembered; the next start takes it again");
    }
}

/// Who started the balancer, as the history names them.
fn machine_user() -> String {
    match rustix::process::geteuid().as_raw() {
        0 => "root".to_owned(),
        user => format!("user {user}"),
    }
}
