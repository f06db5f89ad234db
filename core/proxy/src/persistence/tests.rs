//! What clients are remembered by, and for how long.

use std::collections::HashSet;
use std::time::Duration;

use lb_model::config::{CookiePersistence, PassiveCookiePersistence, SameSite};
use lb_model::value::Period;
use proptest::prelude::*;

use super::table::Table;
use super::*;
use crate::memory::PoolMemory;

const MINUTE: Duration = Duration::from_mins(1);

fn names(count: usize) -> Vec<Name> {
    (0..count)
        .map(|n| format!("web{n}").parse().unwrap())
        .collect()
}

fn key<'a>(client: &str, cookie: Option<&'a [u8]>) -> ClientKey<'a> {
    ClientKey {
        client: client.parse().unwrap(),
        cookie,
    }
}

fn source(ipv4_prefix: u8, ipv6_prefix: u8) -> SourcePersistence {
    SourcePersistence {
        ipv4_prefix: lb_model::value::PrefixV4::new(ipv4_prefix).unwrap(),
        ipv6_prefix: lb_model::value::PrefixV6::new(ipv6_prefix).unwrap(),
        ..SourcePersistence::default()
    }
}

fn passive(fallback: Option<SourcePersistence>) -> Model {
    Model::PassiveCookie(PassiveCookiePersistence {
        name: "ASP.NET_SessionId".parse().unwrap(),
        timeout: Period::seconds(60),
        entries_max: 1000,
        fallback,
    })
}

#[test]
fn the_cookie_of_a_server_is_the_same_on_every_balancer_and_after_every_restart() {
    let pool = "web".parse().unwrap();
    let tags = Tag::of_servers(&pool, &names(2));
    let persistence = Persistence::build(&Model::Cookie(CookiePersistence::default()), None);
    let line = persistence.set_cookie(tags[0]).unwrap();
    let expected = "Set-Cookie: LB=ec1642814eecc00f; Path=/; HttpOnly\r\n";
    assert_eq!(str::from_utf8(&line).unwrap(), expected);
}

#[test]
fn a_cookie_carries_every_attribute_that_the_operator_chose() {
    let cookie = CookiePersistence {
        name: "farm".parse().unwrap(),
        domain: Some("example.com".parse().unwrap()),
        path: "/app".parse().unwrap(),
        secure: true,
        http_only: false,
        same_site: Some(SameSite::None),
        max_age: Some(Period::seconds(3600)),
        fallback: None,
    };
    let line = Persistence::build(&Model::Cookie(cookie), None)
        .set_cookie(Tag(0xab))
        .unwrap();
    let expected = "Set-Cookie: farm=00000000000000ab; Path=/app; Domain=example.com; \
                    Max-Age=3600; Secure; SameSite=None\r\n";
    assert_eq!(str::from_utf8(&line).unwrap(), expected);
}

#[test]
fn a_cookie_that_is_garbage_or_of_another_farm_is_ignored() {
    let persistence = Persistence::build(&Model::Cookie(CookiePersistence::default()), None);
    let now = Instant::now();
    let find = |value: &[u8]| {
        let key = key("192.0.2.1", Some(value));
        persistence.find(
            &key,
            || now,
            Access::Use,
            |tag| (tag == Tag(0xab)).then_some(tag),
        )
    };
    assert_eq!(find(b"00000000000000ab"), Some((Tag(0xab), Found::Cookie)));
    let strange: [&[u8]; 7] = [
        b"",
        b"00000000000000AB",
        b"00000000000000ac",
        b"+0000000000000ab",
        b"00000000000000ab0",
        b"\"0000000000000ab",
        &[0xff; 16],
    ];
    for value in strange {
        assert_eq!(find(value), None, "{value:?}");
    }
}

#[test]
fn clients_behind_one_network_prefix_count_as_one() {
    let source = Persistence::build(&Model::Source(source(24, 64)), None);
    let mask = |client: &str| source.mask(client.parse().unwrap());
    assert_eq!(mask("192.0.2.1"), mask("192.0.2.254"));
    assert_ne!(mask("192.0.2.1"), mask("192.0.3.1"));
    assert_eq!(mask("192.0.2.1"), mask("::ffff:192.0.2.77"));
    assert_eq!(mask("2001:db8::1"), mask("2001:db8::ffff:1"));
    assert_ne!(mask("2001:db8::1"), mask("2001:db8:0:1::1"));
}

#[test]
fn a_record_is_forgotten_after_its_timeout_without_use_and_not_before() {
    let persistence = Persistence::build(&passive(None), None);
    let start = Instant::now();
    let value = key("192.0.2.1", Some(b"session"));
    let find = |at: Duration, access| persistence.find(&value, || start + at, access, Some);
    persistence.learn(b"session", Tag(1), start);
    let found = Some((Tag(1), Found::PassiveCookie));
    assert_eq!(find(MINUTE, Access::Use), found);
    assert_eq!(
        find(2 * MINUTE, Access::Use),
        found,
        "use keeps a record alive"
    );
    assert_eq!(find(3 * MINUTE, Access::Peek), found);
    let late = 3 * MINUTE + Duration::from_secs(1);
    assert_eq!(find(late, Access::Use), None, "a look does not");
}

#[test]
fn a_deleted_session_cookie_is_not_a_session() {
    let persistence = Persistence::build(&passive(None), None);
    let now = Instant::now();
    persistence.learn(b"", Tag(1), now);
    let empty = key("192.0.2.1", Some(b""));
    assert_eq!(persistence.find(&empty, || now, Access::Use, Some), None);
}

#[test]
fn the_cookie_decides_and_the_address_only_without_a_known_one() {
    let persistence = Persistence::build(&passive(Some(source(32, 128))), None);
    let now = Instant::now();
    let from = key("192.0.2.1", None);
    persistence.remember(&persistence.record(&from), Tag(1), now);
    persistence.learn(b"known", Tag(2), now);
    let find = |cookie| {
        let key = key("192.0.2.1", cookie);
        persistence.find(&key, || now, Access::Use, Some)
    };
    assert_eq!(find(Some(b"known")), Some((Tag(2), Found::PassiveCookie)));
    assert_eq!(find(Some(b"unknown")), Some((Tag(1), Found::Source)));
    assert_eq!(find(None), Some((Tag(1), Found::Source)));
}

#[test]
fn sessions_survive_the_process() {
    let model = passive(Some(source(32, 128)));
    let before = Persistence::build(&model, None);
    let long_ago = Instant::now();
    let (now, later) = (long_ago + MINUTE, long_ago + MINUTE * 3 / 2);
    before.learn(b"forgotten", Tag(1), long_ago);
    before.learn(b"session", Tag(1), now);
    let from = key("192.0.2.1", None);
    before.remember(&before.record(&from), Tag(2), later);

    let mut memory = PoolMemory::default();
    before.note(&mut memory, later);
    let shown = format!("{memory:?}");
    let secret = memory.passive_cookie.as_ref().unwrap().secret;
    assert!(!shown.contains(&secret[0].to_string()), "{shown}");

    let after = Persistence::build(&model, None);
    after.recall(&memory, later);
    let found = |key| after.find(key, || later, Access::Peek, Some);
    let cookie = key("192.0.2.9", Some(b"session"));
    assert_eq!(found(&cookie), Some((Tag(1), Found::PassiveCookie)));
    let forgotten = key("192.0.2.9", Some(b"forgotten"));
    assert_eq!(found(&forgotten), None);
    assert_eq!(found(&from), Some((Tag(2), Found::Source)));
    assert_eq!(after.entries(), 2);
    // What was used longest ago is forgotten first, as before.
    let mut again = PoolMemory::default();
    after.note(&mut again, later);
    let unused: Vec<_> = again
        .passive_cookie
        .unwrap()
        .records
        .iter()
        .map(|record| record.unused_for_ms)
        .collect();
    assert_eq!(unused, [30_000]);

    let other = Persistence::build(&passive(Some(source(24, 128))), None);
    other.recall(&memory, later);
    let found = other.find(&from, || later, Access::Peek, Some);
    assert_eq!(found, None, "under another mask keys mean other clients");
}

#[test]
fn sessions_survive_a_change_of_the_configuration_that_keeps_the_cookie() {
    let before = Persistence::build(&passive(Some(source(32, 128))), None);
    let now = Instant::now();
    before.learn(b"session", Tag(1), now);
    let from = key("192.0.2.1", None);
    before.remember(&before.record(&from), Tag(2), now);

    let after = Persistence::build(&passive(Some(source(32, 128))), Some(&before));
    let cookie = key("192.0.2.9", Some(b"session"));
    let found = |key| after.find(key, || now, Access::Use, Some);
    assert_eq!(found(&cookie), Some((Tag(1), Found::PassiveCookie)));
    assert_eq!(found(&from), Some((Tag(2), Found::Source)));

    let masked = Persistence::build(&passive(Some(source(24, 128))), Some(&before));
    let found = masked.find(&from, || now, Access::Use, Some);
    assert_eq!(
        found, None,
        "under another mask the old keys mean other clients"
    );
}

#[test]
fn a_full_table_drops_the_client_that_came_longest_ago() {
    let table = Table::new(3);
    let start = Instant::now();
    for key in 0..3 {
        table.insert(key, Tag(1), MINUTE, 3, start);
    }
    assert_eq!(table.find(0, MINUTE, start, Access::Use), Some(Tag(1)));
    table.insert(3, Tag(1), MINUTE, 3, start);
    let known = |key| table.find(key, MINUTE, start, Access::Peek).is_some();
    assert_eq!([0, 1, 2, 3].map(known), [true, false, true, true]);
}

#[test]
fn a_table_never_outgrows_its_bound_and_shrinks_to_a_lower_one() {
    let now = Instant::now();
    for entries_max in [1, 2, 63, 64, 1000, 4096] {
        let table = Table::new(entries_max);
        for key in 0..3 * entries_max as u128 {
            table.insert(key, Tag(1), MINUTE, entries_max, now);
            assert!(table.len() <= entries_max);
        }
        assert!(
            table.len() * 10 >= entries_max * 9,
            "{} of {entries_max}",
            table.len()
        );
    }
    let table = Table::new(4096);
    (0..4096).for_each(|key| table.insert(key, Tag(1), MINUTE, 4096, now));
    (0..4096).for_each(|key| table.insert(key + 10_000, Tag(1), MINUTE, 100, now));
    assert!(table.len() <= 100, "{}", table.len());
}

#[test]
fn expired_records_give_their_memory_back() {
    let table = Table::new(10_000);
    let start = Instant::now();
    (0..1000).for_each(|key| table.insert(key, Tag(1), MINUTE, 10_000, start));
    let later = start + 2 * MINUTE;
    (0..1000).for_each(|key| table.insert(key + 10_000, Tag(1), MINUTE, 10_000, later));
    assert_eq!(table.len(), 1000);
}

proptest! {
    #[test]
    fn a_table_agrees_with_a_plain_list_in_order_of_use(
        operations in prop::collection::vec((0_u128..20, any::<bool>()), 1..500),
        entries_max in 1_usize..10,
    ) {
        let table = Table::new(entries_max);
        let now = Instant::now();
        let mut plain: Vec<u128> = Vec::new();
        for (key, insert) in operations {
            let known = plain.iter().position(|k| *k == key).map(|at| plain.remove(at));
            if insert {
                table.insert(key, Tag(1), MINUTE, entries_max, now);
                if plain.len() == entries_max {
                    plain.remove(0);
                }
            } else {
                let found = table.find(key, MINUTE, now, Access::Use);
                prop_assert_eq!(found.is_some(), known.is_some());
            }
            if insert || known.is_some() {
                plain.push(key);
            }
            prop_assert_eq!(table.len(), plain.len());
        }
    }

    #[test]
    fn every_server_of_a_pool_has_a_cookie_of_its_own_that_is_read_back(count in 1_usize..200) {
        let pool = "web".parse().unwrap();
        let names = names(count);
        let tags = Tag::of_servers(&pool, &names);
        let distinct: HashSet<Tag> = tags.iter().copied().collect();
        prop_assert_eq!(distinct.len(), count);
        for tag in tags {
            let value = format!("{:016x}", tag.0);
            prop_assert_eq!(Cookie::read(value.as_bytes()), Some(tag));
        }
    }

    #[test]
    fn no_cookie_value_makes_the_lookup_panic(value: Vec<u8>) {
        let own = Persistence::build(&Model::Cookie(CookiePersistence::default()), None);
        let servers = Persistence::build(&passive(None), None);
        let now = Instant::now();
        let key = key("192.0.2.1", Some(&value));
        own.find(&key, || now, Access::Use, Some);
        servers.find(&key, || now, Access::Use, Some);
        servers.learn(&value, Tag(1), now);
    }
}
