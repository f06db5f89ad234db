//! What controllers do differently: see the gateway in front of the emulator.

use std::time::Instant;

use lb_tests::{Finished, Redfish};

use super::{Lab, assert_told, image};

impl Lab {
    /// Behind a controller that does everything differently.
    async fn awkward() -> Self {
        Self::of(Redfish::start_awkward().await).await
    }

    /// Says which of the systems of the controller it is.
    fn name_it(&self) {
        let system = format!(", system = \"{}\"", self.machine.id());
        self.describe(&image(), &system);
    }

    /// Applies the fleet in vain, and sees that the machine is not switched on for it.
    async fn refused(&self, words: &[&str]) -> Finished {
        let tried = self.lbctl(&["apply", "--yes"]).await;
        assert_eq!(tried.code(), 1, "{words:?}: {tried:?}");
        assert_told(&tried, words);
        assert!(!self.machine.is_on().await, "{words:?}");
        tried
    }
}

#[tokio::test]
async fn a_controller_that_does_everything_differently_starts_a_machine_with_uefi() {
    let lab = Lab::awkward().await;
    lab.name_it();
    let began = Instant::now();
    lab.settle().await;
    let machine = &lab.machine;
    assert_eq!(machine.get().await.as_deref(), Some("hello"));
    eprintln!(
        "hardware with UEFI, from an empty disk to the first answer: {:.1} s",
        began.elapsed().as_secs_f64()
    );
    assert_eq!(machine.media().await, None);
    let system = machine.system().await.unwrap();
    assert_eq!(system["Boot"]["BootSourceOverrideMode"], "UEFI");
    let console = machine.console();
    for words in ["BdsDxe: starting", "installed on sda"] {
        assert!(console.contains(words), "{words}: {console}");
    }
    // The mark, and twice where to start from: once the version that was told did not match.
    assert_eq!(machine.count("PATCH 202"), 3);
    assert_eq!(machine.count("PATCH 412"), 1);
    assert!(machine.asset_tag().starts_with("lbctl racks/lb1 "));
    for (action, times) in [("InsertMedia", 1), ("EjectMedia", 1), ("Reset", 2)] {
        assert_eq!(machine.count(action), times, "{action}");
    }
    assert!(machine.count("GET 503") > 0 && machine.count("GET 308") > 0);
    // Another image cannot be installed, and the balancer serves on.
    let system = format!(", system = \"{}\"", machine.id());
    lab.describe(&lab.another_image(), &system);
    machine.have_no_media(true);
    let tried = lab.lbctl(&["apply", "--yes"]).await;
    assert_eq!(tried.code(), 1, "{tried:?}");
    assert_told(&tried, &["no virtual media that takes a CD"]);
    assert_eq!(machine.get().await.as_deref(), Some("hello"));
    machine.have_no_media(false);
    lab.name_it();
    lab.must(&["plan", "--detailed-exitcode"]).await;
    lab.must(&["destroy", "--confirm", "racks"]).await;
    assert!(!machine.is_on().await);
    // A version was demanded, and none told.
    assert_eq!(machine.count("PATCH 428"), 1);
    assert_eq!(machine.asset_tag(), "");
}

#[tokio::test]
async fn what_a_controller_lacks_or_refuses_is_told_with_the_mend() {
    let lab = Lab::awkward().await;
    let machine = &lab.machine;
    let (id, other) = (machine.id(), machine.other_id());
    let both = format!("several systems, and none is named: {id}, {other}");
    lab.refused(&[&both, "with `system`"]).await;
    lab.name_it();
    let before = machine.count("GET 503");
    machine.be_busy(4);
    lab.must(&["plan"]).await;
    assert!(machine.count("GET 503") >= before + 4);
    machine.have_no_media(true);
    lab.refused(&["no virtual media that takes a CD", "licence"])
        .await;
    machine.have_no_media(false);
    assert_eq!(machine.count("InsertMedia"), 0);
    // Once a task says so by itself, and once its monitor answers as the controller would have done.
    let told = "The image is out of reach.";
    machine.fail("InsertMedia", Some(told));
    let ended =
        format!("VirtualMedia.InsertMedia (202): its task has ended with Exception: {told}");
    lab.refused(&[&ended, "see what it says"]).await;
    assert_eq!(machine.media().await, None);
    machine.fail("InsertMedia", None);
    let told = "The machine has no power.";
    machine.fail("Reset", Some(told));
    lab.refused(&[&format!("ComputerSystem.Reset (400): {told}")])
        .await;
    // What is of no use any more was taken out; what is somebody else's stays.
    assert_eq!(machine.media().await, None);
    assert_eq!(machine.count("EjectMedia"), 1);
    let inserted = machine.count("InsertMedia");
    let image = machine.put_in().await;
    lab.refused(&[&format!("something else in it: {image}"), "eject it"])
        .await;
    assert_eq!(machine.media().await, Some(image));
    assert_eq!(machine.count("EjectMedia"), 1);
    assert_eq!(machine.count("InsertMedia"), inserted);
}
