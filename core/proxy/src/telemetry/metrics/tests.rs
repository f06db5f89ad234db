use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lb_model::value::Name;

use super::{Condition, MetricsView, PoolView, ServerView, ServiceView, render};
use crate::telemetry::{Histogram, PerWorker, ServerCounters, ServiceCounters};

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Reads a page as Prometheus does: every sample belongs to the family announced last.
fn parse(page: &str) -> BTreeMap<String, f64> {
    let (mut family, mut families) = (String::new(), BTreeSet::new());
    let mut samples = BTreeMap::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split(' ').next().unwrap().to_owned();
            assert!(
                families.insert(family.clone()),
                "{family} is announced twice"
            );
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (of, kind) = rest.split_once(' ').unwrap();
            assert_eq!(of, family);
            assert!(matches!(kind, "counter" | "gauge" | "histogram"), "{line}");
            assert_eq!(kind == "counter", family.ends_with("_total"), "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(
                series.starts_with(&family),
                "{series} stands under {family}"
            );
            let value = value.parse().unwrap();
            assert!(
                samples.insert(series.to_owned(), value).is_none(),
                "{series} twice"
            );
        }
    }
    samples
}

/// The page of two workers, one virtual service and one server.
fn page() -> String {
    let (shop, web, iis1) = (name("shop"), name("web"), name("iis1"));
    let service = PerWorker::<ServiceCounters>::new(2);
    for worker in 0..2 {
        service.of(worker).connections.add(3);
        service.of(worker).responses[2].add(10);
        service.of(worker).duration.record(Duration::from_millis(3));
    }
    service.of(0).connections_closed.add(5);
    service.of(1).duration.record(Duration::from_secs(100_000));
    let server = PerWorker::<ServerCounters>::new(2);
    server.of(1).requests.add(4);
    server.of(0).requests_ended.add(1);
    render(&MetricsView {
        workers: 2,
        configurations: 1,
        access_log_lines_dropped: 7,
        pauses: &PerWorker::<Histogram>::new(2),
        services: vec![ServiceView {
            name: &shop,
            counters: &service,
        }],
        pools: vec![PoolView {
            name: &web,
            queue_length: 9,
            persistence_entries: None,
            servers: vec![ServerView {
                name: &iis1,
                condition: Condition::Draining,
                weight: 50,
                counters: &server,
            }],
        }],
    })
}

#[test]
fn a_scrape_shows_what_the_workers_counted_together() {
    let samples = parse(&page());
    let value = |series: &str| samples.get(series).copied();
    assert_eq!(value("lb_access_log_dropped_lines_total"), Some(7.0));
    assert_eq!(
        value("lb_virtual_service_connections_total{virtual_service=\"shop\"}"),
        Some(6.0)
    );
    assert_eq!(
        value("lb_virtual_service_active_connections{virtual_service=\"shop\"}"),
        Some(1.0)
    );
    assert_eq!(
        value("lb_virtual_service_responses_total{virtual_service=\"shop\",code=\"2xx\"}"),
        Some(20.0)
    );
    let duration = "lb_virtual_service_request_duration_seconds";
    let bucket = |le: &str| {
        value(&format!(
            "{duration}_bucket{{virtual_service=\"shop\",le=\"{le}\"}}"
        ))
    };
    assert_eq!(bucket("0.002"), Some(0.0));
    assert_eq!(bucket("0.004"), Some(2.0));
    assert_eq!(bucket("65.536"), Some(2.0));
    assert_eq!(bucket("+Inf"), Some(3.0));
    assert_eq!(
        value(&format!("{duration}_sum{{virtual_service=\"shop\"}}")),
        Some(100_000.006)
    );
    assert_eq!(value("lb_pool_queued_requests{pool=\"web\"}"), Some(9.0));
    assert_eq!(
        value("lb_server_active_requests{pool=\"web\",server=\"iis1\"}"),
        Some(3.0)
    );
    assert_eq!(
        value("lb_server_up{pool=\"web\",server=\"iis1\"}"),
        Some(1.0)
    );
    assert_eq!(
        value("lb_server_state{pool=\"web\",server=\"iis1\",state=\"draining\"}"),
        Some(1.0)
    );
    assert_eq!(
        value("lb_server_state{pool=\"web\",server=\"iis1\",state=\"up\"}"),
        Some(0.0)
    );
}

#[test]
fn a_balancer_without_virtual_services_still_answers_a_scrape() {
    let samples = parse(&render(&MetricsView {
        workers: 1,
        configurations: 1,
        access_log_lines_dropped: 0,
        pauses: &PerWorker::<Histogram>::new(1),
        services: Vec::new(),
        pools: Vec::new(),
    }));
    assert_eq!(samples.get("lb_workers"), Some(&1.0));
}
