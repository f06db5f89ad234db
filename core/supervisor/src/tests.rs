use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::message::{self, FromWorker, Place, ToWorker};
use super::sockets::Sockets;
use super::{Bind, Command, Link, Options, SuperviseError, supervise};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

const BIND: Bind = Bind {
    internet: bind,
    datagram: |_, _, _| Err(io::ErrorKind::Unsupported.into()),
    unix: |path| UnixListener::bind(path),
};

fn bind(address: SocketAddr, count: usize, ours: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    let mut address = address;
    let open = |address: SocketAddr, shared| -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_reuse_port(shared)?;
        socket.bind(&address.into())?;
        socket.listen(16)?;
        Ok(socket.into())
    };
    if !ours.contains(&address) {
        address = open(address, false)?.local_addr()?;
    }
    (0..count).map(|_| open(address, true)).collect()
}

fn place(purpose: &str) -> Place {
    Place::internet(purpose, ANY)
}

fn descriptors(sockets: &mut Sockets, place: &Place, count: usize) -> Vec<OwnedFd> {
    let lent = sockets.lend(place, count).unwrap();
    lent.iter()
        .map(|fd| fd.try_clone_to_owned().unwrap())
        .collect()
}

fn port(descriptor: &OwnedFd) -> u16 {
    let listener = TcpListener::from(descriptor.try_clone().unwrap());
    listener.local_addr().unwrap().port()
}

#[test]
fn a_client_that_connects_while_no_worker_lives_is_served_by_the_next() {
    let mut sockets = Sockets::new(BIND);
    let shop = place("shop");
    let first = descriptors(&mut sockets, &shop, 1);
    let port = port(&first[0]);
    drop(first);
    let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let second = descriptors(&mut sockets, &shop, 1);
    let listener = TcpListener::from(second.into_iter().next().unwrap());
    let (mut accepted, _) = listener.accept().unwrap();
    accepted.write_all(b"hello").unwrap();
    drop(accepted);
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
}

#[test]
fn a_worker_with_more_threads_keeps_the_port_that_the_system_chose() {
    let mut sockets = Sockets::new(BIND);
    let shop = place("shop");
    let before = port(&descriptors(&mut sockets, &shop, 1)[0]);
    let more = descriptors(&mut sockets, &shop, 3);
    assert_eq!(more.len(), 3);
    assert_eq!(port(&more[0]), before);
}

#[test]
fn sockets_that_no_worker_wants_are_closed() {
    let mut sockets = Sockets::new(BIND);
    let kept = port(&descriptors(&mut sockets, &place("kept"), 1)[0]);
    let gone = port(&descriptors(&mut sockets, &place("gone"), 1)[0]);
    sockets.keep(|place| place.purpose == "kept");
    TcpStream::connect((Ipv4Addr::LOCALHOST, kept)).unwrap();
    let refused = TcpStream::connect((Ipv4Addr::LOCALHOST, gone)).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn an_address_with_a_port_is_the_same_whoever_uses_it() {
    let mut sockets = Sockets::new(BIND);
    let free = port(&descriptors(&mut sockets, &place("found"), 1)[0]);
    sockets.keep(|_| false);
    let address = SocketAddr::new(ANY.ip(), free);
    let shop = descriptors(&mut sockets, &Place::internet("shop", address), 1);
    // Bound a second time it would be refused.
    let other = descriptors(&mut sockets, &Place::internet("other", address), 1);
    assert_eq!(port(&shop[0]), port(&other[0]));
}

#[test]
fn a_unix_socket_is_one_through_all_workers_and_is_removed_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let place = Place::unix(path.clone());
    let mut sockets = Sockets::new(BIND);
    drop(descriptors(&mut sockets, &place, 1));
    let mut client = UnixStream::connect(&path).unwrap();
    let second = descriptors(&mut sockets, &place, 1);
    let listener = UnixListener::from(second.into_iter().next().unwrap());
    let (mut accepted, _) = listener.accept().unwrap();
    accepted.write_all(b"hello").unwrap();
    drop(accepted);
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");
    sockets.keep(|_| false);
    assert!(!path.exists());
}

/// Answers one question of a worker, as the supervisor does.
fn answer(socket: &OwnedFd, sockets: &mut Sockets) -> FromWorker {
    let (question, _) = message::receive::<FromWorker>(socket).unwrap().unwrap();
    if let FromWorker::Listen { place, count } = &question {
        match sockets.lend(place, *count) {
            Ok(lent) => message::send(socket, &ToWorker::Sockets, &lent).unwrap(),
            Err(error) => {
                let errno = error.raw_os_error().unwrap();
                message::send(socket, &ToWorker::Refused { errno }, &[]).unwrap();
            }
        }
    }
    question
}

#[test]
fn a_worker_gets_its_sockets_or_the_error_of_the_system() {
    let (ours, theirs) = message::pair().unwrap();
    let (link, _commands) = Link::over(theirs).unwrap();
    let taken = TcpListener::bind(ANY).unwrap();
    let taken = taken.local_addr().unwrap();
    let supervisor = std::thread::spawn(move || {
        let mut sockets = Sockets::new(BIND);
        answer(&ours, &mut sockets);
        answer(&ours, &mut sockets);
        answer(&ours, &mut sockets)
    });
    let shop = link.listen("shop", ANY, 4).unwrap();
    assert_eq!(shop.len(), 4);
    let address = shop[0].local_addr().unwrap();
    TcpStream::connect(address).unwrap();
    let refused = link.listen("taken", taken, 1).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    link.ready();
    assert_eq!(supervisor.join().unwrap(), FromWorker::Ready);
}

#[test]
fn orders_reach_the_worker_in_order_and_so_does_the_end_of_the_supervisor() {
    let (ours, theirs) = message::pair().unwrap();
    let (_link, mut commands) = Link::over(theirs).unwrap();
    let reason = "no room".to_owned();
    let resume = ToWorker::Resume {
        reason: reason.clone(),
    };
    for message in [ToWorker::HandOver, resume, ToWorker::Drain] {
        message::send(ours.as_fd(), &message, &[]).unwrap();
    }
    drop(ours);
    let expected = [
        Command::HandOver,
        Command::Resume { reason },
        Command::Drain,
        Command::Orphaned,
    ];
    for command in expected {
        assert_eq!(commands.blocking_recv(), Some(command));
    }
}

fn options(program: &str, args: &[&str]) -> Options {
    Options {
        program: program.into(),
        args: args.iter().map(Into::into).collect(),
        first: None,
        later: None,
        bind: BIND,
        start_timeout: Duration::from_secs(20),
        drain_timeout: Duration::from_secs(1),
    }
}

#[test]
fn a_balancer_that_cannot_start_ends_with_the_exit_code_of_its_worker() {
    let ended = supervise(options("/bin/sh", &["-c", "exit 2"])).unwrap();
    assert_eq!(ended.code, 2);
}

#[test]
fn a_worker_that_never_serves_is_given_up() {
    let mut options = options("/bin/sh", &["-c", "sleep 60"]);
    options.start_timeout = Duration::from_millis(50);
    assert_eq!(supervise(options).unwrap().code, 1);
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let error = supervise(options("/nowhere/lbctl", &[])).unwrap_err();
    assert!(matches!(error, SuperviseError::Start { .. }), "{error}");
    assert_eq!(error.to_string(), "cannot start `/nowhere/lbctl`");
}
