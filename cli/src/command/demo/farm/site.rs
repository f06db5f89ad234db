//! The one page of a demo server: which server it is, and how often this session was here.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, COOKIE, SET_COOKIE};
use hyper::{HeaderMap, Response, StatusCode};

use super::Tally;

/// The cookie that holds the name of a session.
const COOKIE_NAME: &str = "SESSION";

/// The most sessions that one server remembers.
const SESSIONS_MAX: usize = 10_000;

/// A web application with sessions in its memory.
#[derive(Debug)]
pub(super) struct Site {
    tally: Arc<Tally>,
    sessions: Mutex<Sessions>,
}

#[derive(Debug, Default)]
struct Sessions {
    visits: HashMap<String, u64>,
    /// The oldest session makes room for a new one.
    by_age: VecDeque<String>,
    begun: u64,
    /// Keyed at random, so that nobody guesses the name of a session.
    random: RandomState,
}

/// How a visitor was met.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Visit {
    /// The session is known here.
    Known { visits: u64 },
    /// A session of this name is not known here, so another one began.
    Lost { session: String },
    /// A first visit.
    New { session: String },
}

impl Site {
    pub(super) fn new(tally: Arc<Tally>) -> Self {
        Self {
            tally,
            sessions: Mutex::default(),
        }
    }

    /// Answers a request.
    pub(super) fn answer(&self, path: &str, headers: &HeaderMap) -> Response<String> {
        if path == "/health" {
            return Response::new("ok\n".to_owned());
        }
        let wants_page = |value: &str| value.contains("text/html");
        let html = text_of(headers, &ACCEPT).any(wants_page);
        // Browsers ask for this by themselves; it would count as a visit.
        if path == "/favicon.ico" {
            let mut response = Response::new(String::new());
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        }
        self.tally.requests.fetch_add(1, Ordering::Relaxed);
        let visit = self.sessions().visit(session_of(headers));
        let mut response = Response::new(if html {
            page(self.tally.name, &visit)
        } else {
            line(self.tally.name, &visit)
        });
        let headers = response.headers_mut();
        let kind = if html { "text/html" } else { "text/plain" };
        if let Ok(kind) = format!("{kind}; charset=utf-8").parse() {
            headers.insert(CONTENT_TYPE, kind);
        }
        headers.insert(
            CACHE_CONTROL,
            hyper::header::HeaderValue::from_static("no-store"),
        );
        if let Visit::Lost { session } | Visit::New { session } = &visit
            && let Ok(cookie) = format!("{COOKIE_NAME}={session}; Path=/; HttpOnly").parse()
        {
            headers.insert(SET_COOKIE, cookie);
        }
        response
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    fn visit(&mut self, session: Option<&str>) -> Visit {
        if let Some(visits) = session.and_then(|session| self.visits.get_mut(session)) {
            *visits += 1;
            return Visit::Known { visits: *visits };
        }
        let new = self.begin();
        match session {
            Some(_) => Visit::Lost { session: new },
            None => Visit::New { session: new },
        }
    }

    fn begin(&mut self) -> String {
        if self.by_age.len() >= SESSIONS_MAX
            && let Some(oldest) = self.by_age.pop_front()
        {
            self.visits.remove(&oldest);
        }
        self.begun += 1;
        let session = format!("{:016x}", self.random.hash_one(self.begun));
        self.visits.insert(session.clone(), 1);
        self.by_age.push_back(session.clone());
        session
    }
}

fn text_of<'a>(
    headers: &'a HeaderMap,
    name: &'a hyper::header::HeaderName,
) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
}

fn session_of(headers: &HeaderMap) -> Option<&str> {
    text_of(headers, &COOKIE)
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find_map(|(name, value)| (name == COOKIE_NAME).then_some(value))
}

fn story(visit: &Visit) -> String {
    match visit {
        Visit::Known { visits } => format!("session found, visit {visits}"),
        Visit::Lost { .. } => "session NOT found here: it began anew, visit 1".to_owned(),
        Visit::New { .. } => "new session, visit 1".to_owned(),
    }
}

fn line(name: &str, visit: &Visit) -> String {
    format!("{name}: {}\n", story(visit))
}

fn page(name: &str, visit: &Visit) -> String {
    let story = story(visit);
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{name}</title>\
         <style>body{{font:1.5rem system-ui;display:grid;place-content:center;min-height:90vh;\
         text-align:center}}h1{{font-size:5rem;margin:0}}</style>\
         <h1>{name}</h1><p>{story}</p><p><a href=\"/\">again</a></p></html>\n"
    )
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    fn site() -> Site {
        Site::new(Arc::new(Tally {
            name: "web1",
            requests: AtomicU64::new(0),
        }))
    }

    fn visit(site: &Site, cookie: Option<&str>) -> Response<String> {
        let mut headers = HeaderMap::new();
        if let Some(cookie) = cookie {
            headers.insert(COOKIE, cookie.parse().unwrap());
        }
        site.answer("/", &headers)
    }

    fn cookie(response: &Response<String>) -> String {
        let cookie = response.headers()[SET_COOKIE].to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    #[test]
    fn a_session_counts_its_visits_and_is_unknown_to_another_server() {
        let (here, there) = (site(), site());
        let first = visit(&here, None);
        assert_eq!(first.body(), "web1: new session, visit 1\n");
        let session = format!("LB=x; {}", cookie(&first));
        let second = visit(&here, Some(&session));
        assert_eq!(second.body(), "web1: session found, visit 2\n");
        assert!(!second.headers().contains_key(SET_COOKIE));
        let lost = visit(&there, Some(&session));
        assert_eq!(
            lost.body(),
            "web1: session NOT found here: it began anew, visit 1\n"
        );
    }

    #[test]
    fn sessions_cannot_fill_the_memory() {
        let site = site();
        let oldest = cookie(&visit(&site, None));
        for _ in 0..SESSIONS_MAX {
            visit(&site, None);
        }
        assert_eq!(site.sessions().visits.len(), SESSIONS_MAX);
        assert!(visit(&site, Some(&oldest)).body().contains("NOT found"));
    }
}
