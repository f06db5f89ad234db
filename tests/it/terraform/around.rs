//! What is no resource: data sources with live status, tokens and keys for one run, functions, and
//! balancers that resources name themselves.

use lb_tests::{
    Addressed, Authority, Balancer, Client, Terraform, WebServer, provider_block, shop,
};

use super::{document, empty};

#[tokio::test]
async fn data_sources_show_what_is_configured_and_what_it_is_doing() {
    let server = WebServer::start("iis1").await;
    let balancer = Balancer::start(&shop("", "", &[&server])).await;
    let mut client = Client::connect(balancer.address("shop")).await;
    assert_eq!(client.ask("/", &[]).await.status(), 200);
    let terraform = Terraform::of(&balancer);
    let text = r#"
data "lbctl_pool" "web" {
  name = "web"
}
data "lbctl_server" "iis1" {
  pool = "web"
  name = "iis1"
}
data "lbctl_virtual_service" "shop" {
  name = "shop"
}
data "lbctl_limits" "all" {}
data "lbctl_config" "all" {}

output "all" {
  value = {
    address  = data.lbctl_pool.web.servers["iis1"].address
    balance  = data.lbctl_pool.web.balance
    requests = data.lbctl_server.iis1.status.requests
    answers  = data.lbctl_virtual_service.shop.status.responses.status_2xx
    port     = provider::lbctl::parse_address(data.lbctl_virtual_service.shop.status.address).port
    pools    = keys(data.lbctl_config.all.pools)
  }
}
"#;
    terraform.write("main.tf", text);
    terraform.apply().await;
    let state = terraform.state().await;
    let told = &state["values"]["outputs"]["all"]["value"];
    assert_eq!(told["address"], server.address().to_string());
    assert_eq!(told["balance"], "round_robin");
    assert_eq!(told["requests"], 1);
    assert_eq!(told["answers"], 1);
    assert_eq!(told["port"], balancer.address("shop").port());
    assert_eq!(told["pools"], serde_json::json!(["web"]));

    terraform.write(
        "main.tf",
        "data \"lbctl_pool\" \"none\" {\n  name = \"none\"\n}\n",
    );
    let refused = terraform.run(&["plan", "-no-color"]).await;
    assert!(
        refused.stderr.contains("There is no pool `none`"),
        "{}",
        refused.stderr
    );
    assert!(
        refused.stderr.contains("main.tf line 2"),
        "{}",
        refused.stderr
    );
}

#[tokio::test]
async fn a_token_for_a_run_is_good_while_it_lasts_and_gone_afterwards() {
    let balancer = Balancer::start("[admin]\naddress = \"127.0.0.1:0\"\n").await;
    let status = balancer.ask_admin("GET", "/status", &[]).await.json();
    let told = |key: &str| {
        status["admin"][key]
            .as_str()
            .expect("the admin API")
            .to_owned()
    };
    let terraform = Terraform::new();
    let local = format!("endpoint = \"unix:{}\"", balancer.socket().display());
    let text = format!(
        "{}\nephemeral \"lbctl_token\" \"run\" {{\n  name     = \"run\"\n  role     = \"configure\"\n  lifetime = \"5m\"\n}}\n\
         provider \"lbctl\" {{\n  alias       = \"remote\"\n  endpoint    = \"https://{}\"\n  fingerprint = \"{}\"\n  \
         token       = ephemeral.lbctl_token.run.secret\n}}\n\
         resource \"lbctl_pool\" \"web\" {{\n  provider = lbctl.remote\n  name     = \"web\"\n}}\n",
        provider_block(&local),
        told("address"),
        told("fingerprint"),
    );
    terraform.write("main.tf", &text);
    terraform.apply().await;
    terraform
        .assert_empty_plan("after a pool was made with a token of the run")
        .await;
    assert_eq!(document(&balancer).await["pools"]["web"]["retries"], 2);
    let history = balancer
        .ask_admin("GET", "/revisions?limit=1", &[])
        .await
        .json();
    assert_eq!(history["revisions"][0]["author"], "run", "{history}");
    let tokens = balancer.ask_admin("GET", "/tokens", &[]).await.json();
    assert_eq!(
        tokens["tokens"],
        serde_json::json!([]),
        "the token is revoked"
    );
}

#[tokio::test]
async fn a_key_for_a_run_comes_with_a_request_that_openssl_takes() {
    let (_balancer, terraform) = empty().await;
    let text = r#"
ephemeral "lbctl_private_key" "shop" {
  names     = ["shop.example.com"]
  algorithm = "ecdsa_p384"
}

resource "terraform_data" "request" {
  provisioner "local-exec" {
    command     = "printf '%s' \"$REQUEST\" | openssl req -noout -text -verify >request.txt 2>&1 && printf '%s' \"$KEY\" | openssl pkey -noout -text >key.txt"
    environment = {
      REQUEST = ephemeral.lbctl_private_key.shop.request_pem
      KEY     = ephemeral.lbctl_private_key.shop.private_key_pem
    }
  }
}
"#;
    terraform.write("main.tf", text);
    terraform.apply().await;
    let read = |name: &str| std::fs::read_to_string(terraform.path(name)).expect("a file");
    let request = read("request.txt");
    assert!(request.contains("DNS:shop.example.com"), "{request}");
    assert!(request.contains("verify OK"), "{request}");
    assert!(read("key.txt").contains("384 bit"), "{}", read("key.txt"));
    for (algorithm, names, needle) in [
        ("des", "[\"a\"]", "is no kind of key"),
        ("ecdsa_p256", "[\"a b\"]", "a b"),
    ] {
        let text = format!(
            "ephemeral \"lbctl_private_key\" \"x\" {{\n  names     = {names}\n  algorithm = \"{algorithm}\"\n}}\n"
        );
        terraform.write("main.tf", &text);
        let told = terraform.validate().await;
        let said = told.iter().filter_map(|found| found["summary"].as_str());
        assert!(said.clone().any(|text| text.contains(needle)), "{told:?}");
    }
}

#[tokio::test]
async fn each_resource_can_name_its_balancer_and_moves_with_it() {
    let (first, terraform) = empty().await;
    let second = Balancer::start("").await;
    let text = |balancer: &Balancer| {
        format!(
            "resource \"lbctl_pool\" \"web\" {{\n  balancer = \"unix:{}\"\n  name     = \"web\"\n}}\n",
            balancer.socket().display()
        )
    };
    terraform.write("main.tf", &text(&second));
    terraform.apply().await;
    terraform.assert_empty_plan("on another balancer").await;
    assert!(document(&first).await["pools"].get("web").is_none());
    assert!(document(&second).await["pools"].get("web").is_some());
    terraform.write("main.tf", &text(&first));
    terraform.apply().await;
    assert!(document(&first).await["pools"].get("web").is_some());
    assert!(document(&second).await["pools"].get("web").is_none());
}

#[tokio::test]
async fn a_balancer_that_is_known_only_during_the_apply_is_configured_in_the_same_run() {
    let (balancer, terraform) = empty().await;
    let text = format!(
        "resource \"terraform_data\" \"made\" {{\n  input = \"unix:{}\"\n}}\n\
         resource \"lbctl_pool\" \"web\" {{\n  balancer = terraform_data.made.output\n  name     = \"web\"\n}}\n\
         resource \"lbctl_virtual_service\" \"shop\" {{\n  balancer = terraform_data.made.output\n  name     = \"shop\"\n  \
         address  = \"127.0.0.1:0\"\n  pool     = lbctl_pool.web.id\n}}\n",
        balancer.socket().display()
    );
    terraform.write("main.tf", &text);
    terraform.apply().await;
    terraform.assert_empty_plan("after both").await;
    assert_eq!(
        document(&balancer).await["virtual_services"]["shop"]["pool"],
        "web"
    );
}

#[tokio::test]
async fn a_certificate_says_who_we_are_in_the_place_of_a_token() {
    let authority = Authority::new("Admins").await;
    authority.issue("ci", &["ci"], "30").await;
    let document = format!(
        "[admin]\naddress = \"127.0.0.1:0\"\nclient_authorities = \"{}\"\n",
        authority.file("ca.pem")
    );
    let balancer = Balancer::start(&document).await;
    let made = ["user", "add", "ci", "--role", "configure"];
    balancer.lbctl(&made).await.expect_success("make a user");
    let status = balancer.ask_admin("GET", "/status", &[]).await.json();
    let told = |key: &str| {
        status["admin"][key]
            .as_str()
            .expect("the admin API")
            .to_owned()
    };
    let mut terraform = Terraform::new();
    let settings = format!(
        "endpoint                = \"https://{}\"\n  fingerprint             = \"{}\"\n  \
         client_certificate_file = \"{}\"",
        told("address"),
        told("fingerprint"),
        authority.file("ci.pem")
    );
    terraform.write("provider.tf", &provider_block(&settings));
    terraform.write(
        "main.tf",
        "resource \"lbctl_pool\" \"web\" {\n  name = \"web\"\n}\n",
    );
    let half = terraform.run(&["plan", "-no-color"]).await;
    assert!(
        half.stderr.contains("without `client_key_file`"),
        "{}",
        half.stderr
    );
    terraform.set("LBCTL_CLIENT_KEY", &authority.file("ci-key.pem"));
    terraform.apply().await;
    terraform.assert_empty_plan("with a certificate").await;
    let history = balancer
        .ask_admin("GET", "/revisions?limit=1", &[])
        .await
        .json();
    assert_eq!(history["revisions"][0]["author"], "ci", "{history}");
}
