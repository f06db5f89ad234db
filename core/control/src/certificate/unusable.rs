//! Why a certificate cannot be used.

use lb_model::api::Timestamp;
use lb_model::value::Fingerprint;

/// Why a certificate cannot be used. `place` is where somebody has to look: a file, or a part of what
/// was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// A file cannot be read.
    #[error("{place} cannot be read: {reason}")]
    File {
        /// The file.
        place: String,
        /// What the system said.
        reason: String,
    },
    /// The balancer has no such certificate.
    #[error("the balancer keeps no certificate with the fingerprint {0}")]
    NotKept(Fingerprint),
    /// What is kept was not sealed with the key that is there, or somebody has changed it.
    #[error("{place} cannot be opened with {key}")]
    Sealed {
        /// The file.
        place: String,
        /// The file of the key.
        key: String,
    },
    /// The key that opens what is kept is not there, or is none.
    #[error(
        "{place}, the key of all certificates that the balancer keeps, cannot be used: {reason}"
    )]
    VaultKey {
        /// The file.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// There are too many.
    #[error("the balancer keeps {0} certificates, and no more")]
    TooMany(usize),
    /// There are too many requests whose certificates have not come.
    #[error("{0} requests for certificates wait for theirs, and there is room for no more")]
    TooManyRequests(usize),
    /// None could be made.
    #[error("no certificate could be made for {names}: {reason}")]
    NotMade {
        /// The hosts.
        names: String,
        /// Why.
        reason: String,
    },
    /// There is something else, or nothing.
    #[error("{place} holds no {what}")]
    Holds {
        /// Where.
        place: String,
        /// What should be there.
        what: &'static str,
        /// What is there instead, with the way to what is needed.
        help: &'static str,
    },
    /// Something is damaged.
    #[error("the {what} in {place} is damaged: {reason}")]
    Damaged {
        /// Where.
        place: String,
        /// What should be there.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Several keys, and nothing to tell which one is meant.
    #[error("{place} holds {count} private keys")]
    SeveralKeys {
        /// Where.
        place: String,
        /// How many.
        count: usize,
    },
    /// The key is encrypted and there is no password.
    #[error("the private key in {place} is encrypted, and there is no password for it")]
    NoPassword {
        /// Where.
        place: String,
    },
    /// The password opens nothing.
    #[error("the password does not open {place}")]
    WrongPassword {
        /// Where.
        place: String,
    },
    /// The encryption is not known.
    #[error("{place} is encrypted in a way that is not known: {reason}")]
    Encryption {
        /// Where.
        place: String,
        /// What is known of it.
        reason: String,
    },
    /// The key is of a kind or size that cannot be used.
    #[error("the private key in {place} is of a kind or size that cannot be used with TLS")]
    KeyKind {
        /// Where.
        place: String,
    },
    /// The key belongs to another certificate.
    #[error("the private key in {key} does not belong to the certificate of {subject} in {place}")]
    OtherKey {
        /// Where the certificate is.
        place: String,
        /// Where the key is.
        key: String,
        /// Whom the certificate names.
        subject: String,
    },
    /// There is no key for this certificate.
    #[error("there is no private key for the certificate of {subject} in {place}")]
    NoKey {
        /// Where the certificate is.
        place: String,
        /// Whom it names.
        subject: String,
    },
    /// TLS cannot take it.
    #[error("the certificate of {subject} in {place} cannot be used: {reason}")]
    Rejected {
        /// Where.
        place: String,
        /// Whom it names.
        subject: String,
        /// What is wrong.
        reason: String,
    },
    /// It has ended.
    #[error("the certificate of {subject} in {place} ended on {at}")]
    Expired {
        /// Where.
        place: String,
        /// Whom it names.
        subject: String,
        /// When it ended.
        at: Timestamp,
    },
    /// It has not begun.
    #[error("the certificate of {subject} in {place} is not valid before {at}")]
    NotYet {
        /// Where.
        place: String,
        /// Whom it names.
        subject: String,
        /// When it begins.
        at: Timestamp,
    },
}

impl Unusable {
    /// What to do.
    pub fn help(&self) -> String {
        match self {
            Self::File { .. } => {
                "name a file that the user of the balancer may read; `ls -lL` on it and on its folder \
                 shows who may"
                    .to_owned()
            }
            Self::NotKept(_) => {
                "import it again with `lbctl certificate import`, which names it in the document".to_owned()
            }
            Self::Sealed { .. } => "put the file or the key back from a backup of the state directory, \
                or import the certificate again"
                .to_owned(),
            Self::VaultKey { .. } => "put it back from a backup of the state directory; if it is lost, \
                move the folder away and import the certificates again"
                .to_owned(),
            Self::TooMany(_) => "take files away from the folder `certificates` of the state directory \
                that no revision names any more"
                .to_owned(),
            Self::TooManyRequests(_) => "import what the authorities have made of them, or take the files \
                `request-….sealed` away from the folder `certificates` of the state directory"
                .to_owned(),
            Self::NotMade { .. } => "give other names, or import a certificate".to_owned(),
            Self::Holds { help, .. } => (*help).to_owned(),
            Self::Damaged { .. } => {
                "copy it again as a whole, from the first `-` of BEGIN to the last `-` of END".to_owned()
            }
            Self::SeveralKeys { .. } => "leave the key of this certificate alone in it".to_owned(),
            Self::NoPassword { .. } => "import it with `lbctl certificate import … --password-file \
                FILE`, or write it without: openssl pkey -in FILE -out NEW"
                .to_owned(),
            Self::WrongPassword { .. } => {
                "use the password that it was exported with; capitals and spaces count, and so does \
                 the keyboard that it was typed on"
                    .to_owned()
            }
            Self::Encryption { .. } => {
                "write it anew: openssl pkcs8 -topk8 -in FILE -out NEW, or for PFX export it with \
                 AES-256 or 3DES"
                    .to_owned()
            }
            Self::KeyKind { .. } => "use a key of ECDSA P-256, P-384 or P-521, of RSA from 2048 to \
                8192 bits, or Ed25519, and a certificate for it"
                .to_owned(),
            Self::OtherKey { .. } => "give the key that the request for this certificate was made \
                with; these two must print the same: openssl x509 -noout -pubkey -in CERTIFICATE, and \
                openssl pkey -pubout -in KEY"
                .to_owned(),
            Self::NoKey { .. } => "give its key, too, with `--key FILE`; the balancer has it when the request was \
                made with `lbctl certificate request`"
                .to_owned(),
            Self::Rejected { .. } => "ask who made it for an X.509 version 3 certificate for a web \
                server"
                .to_owned(),
            Self::Expired { .. } => "get a new one from whoever issued it, and give it here".to_owned(),
            Self::NotYet { .. } => {
                "wait until then; if that day is over already, set the clock of the balancer: \
                 timedatectl"
                    .to_owned()
            }
        }
    }
}
