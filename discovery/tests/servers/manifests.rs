//! The manifests in docs/kubernetes: each is an object of Kubernetes' API, and nothing in it is dropped when it is read as
//! one.

use std::path::Path;

use k8s_openapi::Resource;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The objects of a file.
fn objects(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/kubernetes")
        .join(file);
    let text = std::fs::read_to_string(&path).expect("it is there");
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// What is read of an object, written again.
fn again<T: Resource + DeserializeOwned + Serialize>(object: &Value) -> Value {
    assert_eq!(object["apiVersion"], T::API_VERSION);
    let read: T = serde_json::from_value(object.clone()).expect("an object of that kind");
    serde_json::to_value(read).expect("it can be written")
}

fn check(object: &Value) {
    let again = match object["kind"].as_str().expect("a kind") {
        "StatefulSet" => again::<StatefulSet>(object),
        "Service" => again::<Service>(object),
        "ServiceAccount" => again::<ServiceAccount>(object),
        "Role" => again::<Role>(object),
        "RoleBinding" => again::<RoleBinding>(object),
        kind => panic!("{kind} is not known to this test"),
    };
    assert_eq!(again, *object, "what is missing or other was dropped");
}

#[test]
fn every_manifest_is_an_object_of_the_api_to_its_last_word() {
    let mut kinds = Vec::new();
    for file in ["rbac.yaml", "service.yaml", "statefulset.yaml"] {
        for object in objects(file) {
            check(&object);
            kinds.push(object["kind"].as_str().expect("a kind").to_owned());
        }
    }
    let expected = [
        "ServiceAccount",
        "Role",
        "RoleBinding",
        "Service",
        "StatefulSet",
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn a_word_that_the_api_does_not_have_is_found() {
    let mut object = objects("service.yaml").remove(0);
    object["spec"]["publishNotReadyAddress"] = Value::Bool(true);
    let found = std::panic::catch_unwind(|| check(&object));
    assert!(found.is_err(), "it was read over");
}

/// What the manifests say to each other.
#[test]
fn the_parts_fit_together() {
    let [account, role, binding] = &objects("rbac.yaml")[..] else {
        panic!("there are three");
    };
    let (service, set) = (&objects("service.yaml")[0], &objects("statefulset.yaml")[0]);
    let pod = &set["spec"]["template"];
    assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
    assert_eq!(binding["subjects"][0]["name"], account["metadata"]["name"]);
    assert_eq!(
        pod["spec"]["serviceAccountName"],
        account["metadata"]["name"]
    );
    assert_eq!(set["spec"]["serviceName"], service["metadata"]["name"]);
    assert_eq!(service["spec"]["selector"], pod["metadata"]["labels"]);
    assert_eq!(
        set["spec"]["selector"]["matchLabels"],
        pod["metadata"]["labels"]
    );
}
