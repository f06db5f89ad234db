//! A client that comes back reaches the server that has its session.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use lb_tests::{
    Addressed, Answer, Balancer, Browser, Client, Message, WebServer, eventually, shop,
};
use tokio::task::JoinSet;

const COOKIE: &str = "persistence = { cookie = {} }";

/// Quick enough that a test sees a server leave and return.
const QUICK_CHECK: &str = "[pools.web.health_check]\ninterval = \"100ms\"\nrise = 1\nfall = 1";

async fn farm<const N: usize>(names: [&str; N]) -> [WebServer; N] {
    let mut servers = Vec::new();
    for name in names {
        servers.push(WebServer::start(name).await);
    }
    servers.try_into().ok().expect("as many servers as names")
}

fn addressed(servers: &[WebServer]) -> Vec<&dyn Addressed> {
    servers
        .iter()
        .map(|server| server as &dyn Addressed)
        .collect()
}

fn server_of(response: &Message) -> String {
    assert_eq!(response.status(), 200, "{}", response.text());
    response
        .value("x-server")
        .expect("our servers name themselves")
}

fn loopback(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

/// Every browser visits `count` times. Gives the server that each has at the end and how often one
/// was not where it had been.
async fn visit_all(
    browsers: Vec<(Browser, String)>,
    count: usize,
) -> (Vec<(Browser, String)>, usize) {
    let mut visits = JoinSet::new();
    for (number, (mut browser, mut server)) in browsers.into_iter().enumerate() {
        visits.spawn(async move {
            let mut moves = 0;
            for _ in 0..count {
                let now = server_of(&browser.visit("/").await);
                moves += usize::from(now != server && !server.is_empty());
                server = now;
            }
            (number, browser, server, moves)
        });
    }
    let mut ended = visits.join_all().await;
    ended.sort_by_key(|(number, ..)| *number);
    let moves = ended.iter().map(|(.., moves)| moves).sum();
    (
        ended
            .into_iter()
            .map(|(_, browser, server, _)| (browser, server))
            .collect(),
        moves,
    )
}

#[tokio::test]
async fn fifty_cookie_jars_and_ten_thousand_requests_stay_on_their_server_through_a_death() {
    let mut servers = farm(["a", "b", "c", "d"]).await;
    let balancer = Balancer::start(&shop(
        "",
        &format!("{COOKIE}\n{QUICK_CHECK}"),
        &addressed(&servers),
    ))
    .await;
    let address = balancer.address("shop");
    let browsers = (0..50)
        .map(|_| (Browser::new(address), String::new()))
        .collect();

    let (browsers, moves) = visit_all(browsers, 80).await;
    assert_eq!(moves, 0, "nobody moves while every server is up");
    let used: BTreeSet<&String> = browsers.iter().map(|(_, server)| server).collect();
    assert_eq!(used.len(), 4, "50 new clients reach all servers: {used:?}");
    let of_c = browsers.iter().filter(|(_, server)| server == "c").count();

    servers[2].die().await;
    let (browsers, moves) = visit_all(browsers, 60).await;
    assert_eq!(
        moves, of_c,
        "those of the dead server move once, nobody else does"
    );
    assert!(browsers.iter().all(|(_, server)| server != "c"));

    servers[2].revive();
    balancer.server_is_up("web", "c", true).await;
    let (_, moves) = visit_all(browsers, 60).await;
    assert_eq!(moves, 0, "the return of a server moves nobody");
    eventually(
        "a new client reaches the server that returned",
        async || {
            let mut browser = Browser::new(address);
            (server_of(&browser.visit("/").await) == "c").then_some(())
        },
    )
    .await;
}

#[tokio::test]
async fn a_cookie_decides_each_request_even_on_one_connection() {
    let servers = farm(["a", "b"]).await;
    let balancer = Balancer::start(&shop("", COOKIE, &addressed(&servers))).await;
    let (one, two) = two_jars(&balancer).await;
    let mut client = balancer.client().await;
    for _ in 0..20 {
        for (server, cookie) in [&one, &two] {
            let response = client
                .ask("/", &[&format!("Cookie: x=1; {cookie}; y=2")])
                .await;
            assert_eq!(server_of(&response), *server);
            assert_eq!(
                response.values("set-cookie").len(),
                0,
                "it has its cookie already"
            );
        }
    }
}

/// Two clients on two servers: the server and the cookie of each.
async fn two_jars(balancer: &Balancer) -> ((String, String), (String, String)) {
    let mut jars = BTreeMap::new();
    for _ in 0..50 {
        let response = balancer.client().await.ask("/", &[]).await;
        let cookie = response
            .value("set-cookie")
            .expect("a client without a cookie gets one");
        let pair = cookie.split(';').next().unwrap_or_default().to_owned();
        jars.insert(server_of(&response), pair);
        if jars.len() == 2 {
            break;
        }
    }
    let mut jars = jars.into_iter();
    (
        jars.next().expect("a server"),
        jars.next().expect("a second server"),
    )
}

#[tokio::test]
async fn the_cookie_carries_the_attributes_of_the_document() {
    let servers = farm(["a"]).await;
    let persistence = "persistence = { cookie = { name = \"FARM\", path = \"/app\", secure = true, \
                       domain = \"shop.test\", same_site = \"strict\", max_age = \"1h\" } }";
    let balancer = Balancer::start(&shop("", persistence, &addressed(&servers))).await;
    let response = balancer.client().await.ask("/", &[]).await;
    let cookie = response.value("set-cookie").expect("a cookie");
    assert!(cookie.starts_with("FARM="), "{cookie}");
    let attributes: BTreeSet<String> = cookie
        .split(';')
        .skip(1)
        .map(|a| a.trim().to_ascii_lowercase())
        .collect();
    for attribute in [
        "path=/app",
        "secure",
        "httponly",
        "domain=shop.test",
        "samesite=strict",
        "max-age=3600",
    ] {
        assert!(attributes.contains(attribute), "{attribute} in {cookie}");
    }
    assert!(
        !cookie.contains("127.0.0.1"),
        "the cookie tells nobody where servers are: {cookie}"
    );
}

#[tokio::test]
async fn a_forged_or_stale_cookie_is_balanced_anew_and_replaced() {
    let servers = farm(["a", "b"]).await;
    let balancer = Balancer::start(&shop("", COOKIE, &addressed(&servers))).await;
    for forged in [
        "LB=",
        "LB=nonsense",
        "LB=a",
        "LB=\"q\"",
        "LB=%00%ff",
        "LB; LB=1; LB=2",
    ] {
        let response = balancer
            .client()
            .await
            .ask("/", &[&format!("Cookie: {forged}")])
            .await;
        assert_eq!(response.status(), 200, "{forged}");
        if forged != "LB=a" {
            assert_eq!(response.values("set-cookie").len(), 1, "{forged}");
        }
    }
}

#[tokio::test]
async fn a_draining_server_keeps_its_clients_and_gets_no_new_ones() {
    let servers = farm(["a", "b"]).await;
    let text = shop("", COOKIE, &addressed(&servers));
    let before = Balancer::start(&text).await;
    let ((server, cookie), _) = two_jars(&before).await;
    assert_eq!(server, "a");
    let field = format!("Cookie: {cookie}");

    let entry = format!("a = {{ address = \"{}\"", servers[0].address());
    let draining = text.replace(&entry, &format!("{entry}, state = \"draining\""));
    let draining = Balancer::start(&draining).await;
    for _ in 0..10 {
        let new = draining.client().await.ask("/", &[]).await;
        assert_eq!(server_of(&new), "b", "a new client");
        let old = draining.client().await.ask("/", &[&field]).await;
        assert_eq!(
            server_of(&old),
            "a",
            "a cookie outlives the balancer that gave it"
        );
    }

    let disabled = text.replace(&entry, &format!("{entry}, state = \"disabled\""));
    let disabled = Balancer::start(&disabled).await;
    let old = disabled.client().await.ask("/", &[&field]).await;
    assert_eq!(server_of(&old), "b", "a disabled server keeps nobody");
    assert_eq!(
        old.values("set-cookie").len(),
        1,
        "who moves learns the new server"
    );

    let weightless = text.replace(&entry, &format!("{entry}, weight = 0"));
    let weightless = Balancer::start(&weightless).await;
    for _ in 0..10 {
        let new = weightless.client().await.ask("/", &[]).await;
        assert_eq!(server_of(&new), "b", "weight 0 gives no new clients");
    }
    let old = weightless.client().await.ask("/", &[&field]).await;
    assert_eq!(server_of(&old), "a", "weight 0 keeps the clients it has");
}

#[tokio::test]
async fn clients_of_a_draining_server_move_when_its_drain_timeout_has_passed() {
    let servers = farm(["a", "b"]).await;
    let text = shop("", COOKIE, &addressed(&servers));
    let ((_, cookie), _) = two_jars(&Balancer::start(&text).await).await;
    let entry = format!("a = {{ address = \"{}\"", servers[0].address());
    let text = text
        .replace(&entry, &format!("{entry}, state = \"draining\""))
        .replace(COOKIE, &format!("drain_timeout = \"1s\"\n{COOKIE}"));
    let balancer = Balancer::start(&text).await;
    let field = format!("Cookie: {cookie}");
    let mut client = balancer.client().await;
    assert_eq!(server_of(&client.ask("/", &[&field]).await), "a");
    eventually("the client is moved", async || {
        (server_of(&client.ask("/", &[&field]).await) == "b").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_address_stays_on_its_server() {
    let servers = farm(["a", "b", "c"]).await;
    let pool = "persistence = { source = {} }";
    let balancer = Balancer::start(&shop("", pool, &addressed(&servers))).await;
    let mut used = BTreeSet::new();
    for last in 1..=30 {
        let mut seen = BTreeSet::new();
        for _ in 0..5 {
            let mut client = Client::connect_from(loopback(last), balancer.address("shop")).await;
            seen.insert(server_of(&client.ask("/", &[]).await));
        }
        assert_eq!(seen.len(), 1, "127.0.0.{last}: {seen:?}");
        used.extend(seen);
    }
    assert_eq!(used.len(), 3);
}

#[tokio::test]
async fn addresses_of_one_network_count_as_one_client_when_the_prefix_says_so() {
    let servers = farm(["a", "b", "c"]).await;
    let pool = "persistence = { source = { ipv4_prefix = 24 } }";
    let balancer = Balancer::start(&shop("", pool, &addressed(&servers))).await;
    let mut seen = BTreeSet::new();
    for last in 1..=12 {
        let mut client = Client::connect_from(loopback(last), balancer.address("shop")).await;
        seen.insert(server_of(&client.ask("/", &[]).await));
    }
    assert_eq!(seen.len(), 1, "{seen:?}");
}

#[tokio::test]
async fn an_address_that_stays_away_longer_than_the_timeout_is_forgotten() {
    let servers = farm(["a", "b"]).await;
    let pool = "persistence = { source = { timeout = \"300ms\" } }";
    let balancer = Balancer::start(&shop("", pool, &addressed(&servers))).await;
    let mut seen = BTreeSet::new();
    for _ in 0..20 {
        let mut client = Client::connect_from(loopback(9), balancer.address("shop")).await;
        seen.insert(server_of(&client.ask("/", &[]).await));
        if seen.len() == 2 {
            return;
        }
        // The client stays away: this is the thing tested, not a wait for something to happen.
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    panic!("remembered for 20 times its timeout on {seen:?}");
}

/// A server that starts a session on `/login`, as ASP.NET does on the first use of one.
async fn session_server(name: &'static str) -> WebServer {
    let sessions = AtomicUsize::new(0);
    WebServer::answering(name, move |request| {
        if request.target() != "/login" {
            return Answer::ok(name);
        }
        let id = sessions.fetch_add(1, Ordering::SeqCst);
        Answer::ok(name)
            .field("Set-Cookie: theme=dark; path=/")
            .field(format!(
                "Set-Cookie: ASP.NET_SessionId={name}{id:020}; path=/; HttpOnly"
            ))
            .field("Set-Cookie: tracking=7")
    })
    .await
}

#[tokio::test]
async fn a_session_cookie_of_the_servers_leads_back_to_the_server_that_set_it() {
    let servers = [
        session_server("a").await,
        session_server("b").await,
        session_server("c").await,
    ];
    let pool = "persistence = { passive_cookie = { name = \"ASP.NET_SessionId\" } }";
    let balancer = Balancer::start(&shop("", pool, &addressed(&servers))).await;
    let mut used = BTreeSet::new();
    for _ in 0..12 {
        let mut browser = Browser::new(balancer.address("shop"));
        let server = server_of(&browser.visit("/login").await);
        assert_eq!(
            browser.cookies.len(),
            3,
            "every cookie of the server arrives"
        );
        for _ in 0..8 {
            browser.disconnect();
            assert_eq!(server_of(&browser.visit("/account").await), server);
        }
        used.insert(server);
    }
    assert_eq!(used.len(), 3);
}

#[tokio::test]
async fn without_a_cookie_the_address_decides_and_with_one_the_cookie_does() {
    let servers = farm(["a", "b"]).await;
    let pool = "persistence = { cookie = { fallback = {} } }";
    let balancer = Balancer::start(&shop("", pool, &addressed(&servers))).await;
    let mut cookies = BTreeMap::new();
    for last in 20..40 {
        let mut seen = BTreeSet::new();
        for _ in 0..4 {
            let mut client = Client::connect_from(loopback(last), balancer.address("shop")).await;
            let response = client.ask("/", &[]).await;
            let cookie = response.value("set-cookie").expect("a cookie");
            let pair = cookie.split(';').next().unwrap_or_default().to_owned();
            cookies.insert(server_of(&response), pair);
            seen.insert(server_of(&response));
        }
        assert_eq!(seen.len(), 1, "127.0.0.{last} without a cookie: {seen:?}");
    }
    assert_eq!(cookies.len(), 2, "both servers have clients");
    for (server, cookie) in &cookies {
        let mut client = Client::connect_from(loopback(20), balancer.address("shop")).await;
        let response = client.ask("/", &[&format!("Cookie: {cookie}")]).await;
        assert_eq!(
            server_of(&response),
            *server,
            "the cookie comes before the address"
        );
    }
}
