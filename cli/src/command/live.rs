//! `lbctl metrics` and `events`: what the balancer tells, as it tells it.

use crate::args::Output;
use crate::balancer::Balancer;
use crate::output;
use crate::report::{Exit, Failure};
use crate::screen::Screen;
use crate::settings::Settings;

pub(super) fn metrics(settings: &Settings, screen: &Screen) -> Result<Exit, Failure> {
    let balancer = Balancer::of(settings)?;
    let page = balancer.wait(balancer.client.metrics())?;
    screen.result(&page)?;
    Ok(Exit::Done)
}

pub(super) fn events(settings: &Settings, screen: &Screen) -> Result<Exit, Failure> {
    let balancer = Balancer::of(settings)?;
    let mut events = balancer.wait(balancer.client.events())?;
    screen.note("listening; Ctrl-C ends it\n");
    while let Some(event) = balancer.wait(events.next())? {
        let wanted = match settings.output {
            Output::Table => screen.stream(&format!("{event}\n"))?,
            Output::Json | Output::Yaml => output::print_line(screen, settings.output, &event)?,
        };
        if !wanted {
            return Ok(Exit::Done);
        }
    }
    screen.note("the balancer has ended\n");
    Ok(Exit::Done)
}
