//! The templates for Packer: all of them are checked, and those that can be built here are built.

use std::path::{Path, PathBuf};
use std::time::Duration;

use lb_tests::{
    Finished, Machine, Process, eventually, free_port, lbctl_path, python, run, run_within,
};
use serde_json::Value;
use tokio::process::Command;

/// How long one build may take: a machine starts in software and stops again.
const PATIENCE: Duration = Duration::from_mins(4);

fn folder() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the repository").join("packer")
}

fn images() -> PathBuf {
    let folder =
        std::env::var_os("LB_APPLIANCE").expect("LB_APPLIANCE: `tests/run image` makes it");
    folder.into()
}

/// Runs Packer on the templates, with a folder of its own for what it keeps.
async fn packer(home: &Path, command: &str, args: &[&str]) -> Finished {
    let installer = format!("install_images={}", images().join("hardware").display());
    let images = format!("images={}", images().display());
    let program = format!("lbctl={}", lbctl_path().display());
    let templates = folder().display().to_string();
    let fixed = ["-var", &images, "-var", &installer, "-var", &program];
    let mut call = Command::new("packer");
    call.args([&[command], args, &fixed[..], &[templates.as_str()]].concat());
    call.current_dir(home)
        .env("HOME", home)
        .env("CHECKPOINT_DISABLE", "1");
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ] {
        call.env(name, value);
    }
    run_within(PATIENCE, &mut call).await
}

#[tokio::test]
async fn every_template_is_formatted_and_valid() {
    let home = tempfile::tempdir().unwrap();
    for path in [folder(), folder().join("plugins")] {
        let path = path.display().to_string();
        let checked = run("packer", &["fmt", "-check", &path]).await;
        assert_eq!(checked.code(), 0, "{checked:?}");
    }
    // What every account must say, and nobody here has.
    let accounts = [
        "-var",
        "azure_client_id=a",
        "-var",
        "azure_client_secret=b",
        "-var",
        "azure_tenant_id=c",
        "-var",
        "aws_endpoint=http://127.0.0.1:1",
        "-var",
        "vsphere_user=d",
        "-var",
        "vsphere_password=e",
    ];
    let checked = packer(home.path(), "validate", &accounts).await;
    assert_eq!(checked.code(), 0, "{checked:?}");
}

#[tokio::test]
async fn the_image_for_qemu_is_tried_and_kept_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let output = home.path().join("out");
    let out = format!("output={}", output.display());
    let port = format!("http_port={}", free_port().port());
    let args = [
        "-only=qemu.*",
        "-color=false",
        "-var",
        "accel=tcg",
        "-var",
        &out,
        "-var",
        &port,
    ];
    let built = packer(home.path(), "build", &args).await;
    assert_eq!(built.code(), 0, "{built:?}");
    assert!(built.stdout.contains("the image serves"), "{built:?}");
    // Neither the seed of the trial nor what the balancer wrote is in it.
    let (raw, made) = (images().join("lbctl.raw"), output.join("lbctl-0.1.0.qcow2"));
    let compare = ["compare", raw.to_str().unwrap(), made.to_str().unwrap()];
    let compared = run("qemu-img", &compare).await;
    assert!(
        compared.stdout.contains("Images are identical"),
        "{compared:?}"
    );
    let sums = std::fs::read_to_string(output.join("SHA256SUMS")).unwrap();
    assert!(sums.contains("lbctl-0.1.0.qcow2"), "{sums}");
}

#[tokio::test]
async fn the_image_for_amazon_is_written_to_the_second_volume_of_a_machine_and_registered() {
    let cloud = free_port();
    let mut server = python("moto_server.py");
    server.args(["-H", "127.0.0.1", "-p", &cloud.port().to_string()]);
    let _cloud = Process::start(&mut server);
    eventually("the cloud answers", async || {
        tokio::net::TcpStream::connect(cloud).await.ok()
    })
    .await;
    let builder = Machine::start().await;
    builder
        .must(&["truncate", "-s", "2G", "/var/tmp/volume"])
        .await;
    let home = tempfile::tempdir().unwrap();
    let variables = [
        format!("aws_endpoint=http://{cloud}"),
        "aws_source_owner=amazon".to_owned(),
        "aws_source_name=amzn-ami-hvm-2017.09.1.20171103-x86_64-gp2".to_owned(),
        "aws_keypair=build".to_owned(),
        format!("aws_private_key_file={}", builder.key().display()),
        format!("aws_ssh_host={}", builder.address()),
        "aws_device=/var/tmp/volume".to_owned(),
    ];
    let mut args = vec!["-only=amazon-ebssurrogate.*", "-color=false"];
    for variable in &variables {
        args.extend(["-var", variable]);
    }
    let built = packer(home.path(), "build", &args).await;
    assert_eq!(built.code(), 0, "{built:?}");
    assert!(
        built.stdout.contains("the image is on /var/tmp/volume"),
        "{built:?}"
    );
    let manifest = std::fs::read_to_string(home.path().join("packer-manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let id = manifest["builds"][0]["artifact_id"].as_str().unwrap();
    assert!(id.contains("ami-"), "{manifest}");
    let begin = builder
        .must(&["sh", "-c", "head -c 40M /var/tmp/volume | sha256sum"])
        .await;
    let image = images().join("lbctl.raw");
    let image = format!("head -c 40M {} | sha256sum", image.display());
    assert_eq!(begin, run("sh", &["-c", &image]).await.stdout);
}

#[tokio::test]
async fn every_format_is_the_same_disk() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().display().to_string();
    let program = lbctl_path().display().to_string();
    let formats = ["--formats", "raw,vmdk,vhdx,vhd", &program, &output];
    let mut command = Command::new(self::folder().join("appliance/build"));
    let built = run_within(PATIENCE, command.args(formats)).await;
    built.expect_success("packer/appliance/build");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let raw = std::fs::metadata(path("lbctl.raw")).unwrap().len();
    for (name, format) in [
        ("lbctl.vmdk", "vmdk"),
        ("lbctl.vhdx", "vhdx"),
        ("lbctl.vhd", "vpc"),
    ] {
        let (image, other) = (path(name), path("lbctl.raw"));
        let told = run(
            "qemu-img",
            &["info", "--output", "json", "-f", format, &image],
        )
        .await;
        let told: Value = serde_json::from_str(&told.stdout).unwrap();
        assert_eq!(told["virtual-size"], raw, "{name}");
        let compare = ["compare", "-f", format, "-F", "raw", &image, &other];
        let compared = run("qemu-img", &compare).await;
        assert!(
            compared.stdout.contains("Images are identical"),
            "{name}: {compared:?}"
        );
    }
}
