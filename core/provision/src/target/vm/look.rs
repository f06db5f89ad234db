//! Looking at a virtual machine.

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::error::VmError;
use super::folder::{Kept, Place, Shape};
use super::observed::Observed;
use super::qemu;
use super::qmp::Qmp;
use crate::files::FilesError;
use crate::program::hex;
use crate::target::Refusal;
use crate::target::appliance::{self, Told};
use crate::wanted::{Access, Wanted};

/// What there is of a machine, and what its balancer says to the document that is wanted.
pub(crate) async fn look(place: &Place, wanted: &Wanted) -> Result<Observed, VmError> {
    let qemu = qemu::version().await?;
    let kept = place.kept()?;
    let running = match &kept {
        Some(_) => Qmp::of(place.folder.path()).await?.is_some(),
        None => false,
    };
    let access = access(place, wanted, kept.as_ref())?;
    let told = match (&access, running) {
        (Some(access), true) => appliance::look(access, wanted.document.as_ref()).await,
        (Some(_), false) | (None, _) => Told::default(),
    };
    Ok(Observed {
        image: kept.as_ref().map(|kept| kept.shape.release.clone()),
        wanted: release(&place.image)
            .map(|release| Shape::of(&place.target, release))
            .map_err(|error| Refusal {
                why: appliance::in_full(&error),
                help: error.help().unwrap_or_default(),
            }),
        accelerator: qemu::known(),
        has_access: access.is_some(),
        status: told.status,
        plan: told.plan,
        refused: told.refused,
        silent: told.silent,
        kept,
        running,
        qemu,
    })
}

/// How to talk to the balancer: as whoever provisions remembers it, or as it is kept with the machine, so that
/// a state that is lost loses no machine.
pub(super) fn access(
    place: &Place,
    wanted: &Wanted,
    kept: Option<&Kept>,
) -> Result<Option<Access>, VmError> {
    let Some(kept) = kept else { return Ok(None) };
    let Some(address) = address(&kept.shape, wanted) else {
        return Ok(None);
    };
    let Some(token) = place.folder.read("token")? else {
        return Ok(None);
    };
    let fingerprint = place.folder.read("fingerprint")?;
    Ok(Some(Access {
        address,
        token: token.trim().to_owned(),
        fingerprint: fingerprint.and_then(|text| text.trim().parse().ok()),
    }))
}

/// Where the admin API of a machine is reached from here.
pub(super) fn address(shape: &Shape, wanted: &Wanted) -> Option<SocketAddr> {
    let port = wanted.balancer.admin_address()?.socket_addr().port();
    if let Some(address) = shape.address {
        return Some(SocketAddr::new(address.ip(), port));
    }
    let mut forwards = shape.forwards.iter();
    let forward = forwards.find(|forward| forward.port == port)?;
    Some(appliance::reached_at(forward.address.socket_addr()))
}

/// The name of an image: the first sixteen digits of its digest.
pub(super) fn release(path: &Path) -> Result<String, VmError> {
    let failed = FilesError::of(path);
    let mut digest = Sha256::new();
    let mut file = File::open(path).map_err(&failed)?;
    let mut head = [0; 512];
    match file.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(not_a_disk(path));
        }
        read => read.map_err(&failed)?,
    }
    if Format::of(&head).is_none() {
        return Err(not_a_disk(path));
    }
    digest.update(head);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(&failed)?;
        if count == 0 {
            return Ok(hex(&digest.finalize()).chars().take(16).collect());
        }
        digest.update(buffer.get(..count).unwrap_or_default());
    }
}

fn not_a_disk(path: &Path) -> VmError {
    VmError::Image {
        path: path.to_owned(),
        why: "it is neither qcow2 nor a disk that a PC starts from".to_owned(),
    }
}

/// How an image is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Qcow2,
    Raw,
}

impl Format {
    /// The format of an image that begins like this: qcow2, or a disk with a boot record.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        if head.starts_with(b"QFI\xfb") {
            Some(Self::Qcow2)
        } else if head.get(510..512) == Some(&[0x55, 0xaa]) {
            Some(Self::Raw)
        } else {
            None
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }
}
