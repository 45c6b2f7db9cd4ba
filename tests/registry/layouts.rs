//! Layouts, which are registries on disk.

use super::*;

#[tokio::test]
async fn a_layout_is_a_registry_on_disk() {
    let (here, there) = (Desk::new(), Desk::new());
    let location: Location = format!("oci:{}:1.0", here.path("image")).parse().unwrap();
    let registry = Registry::open(&location, &access()).unwrap();
    let image = push_image(&registry, &here, "1.0").await;
    let attached = registry.attach(&image, &artifact(BOM, "bom")).await.unwrap();
    registry.attach(&image, &artifact(BOM, "bom")).await.unwrap();
    registry.attach(&Descriptor::of("x", b"another"), &artifact(BOM, "other bom")).await.unwrap();

    let registry = Registry::open(&location, &access()).unwrap();
    assert_eq!(registry.resolve("1.0").await.unwrap().unwrap(), image);
    assert_eq!(registry.resolve("2.0").await.unwrap(), None);
    let (_, bytes) = registry.manifest(&image.digest.to_string()).await.unwrap().unwrap();
    let layer = &Manifest::parse(&bytes).unwrap().layers[0];
    registry.pull_blob(layer, &there.store, &there.task).await.unwrap();
    assert_eq!(there.read(&layer.digest), here.read(&layer.digest));
    assert_eq!(registry.push_blob(layer, &here.store, None, &here.task).await.unwrap(), Pushed::Existed);
    assert_eq!(registry.referrers(&image.digest, Some(BOM)).await.unwrap(), std::slice::from_ref(&attached));
    assert_eq!(registry.artifact(&attached, 10).await.unwrap(), b"bom");
    assert_eq!(registry.tags().await.unwrap(), ["1.0"]);
}

#[tokio::test]
async fn other_tools_read_a_layout() {
    let desk = Desk::new();
    let location: Location = format!("oci:{}", desk.path("image")).parse().unwrap();
    let registry = Registry::open(&location, &access()).unwrap();
    let image = push_image(&registry, &desk, "latest").await;
    registry.attach(&image, &artifact(BOM, "bom")).await.unwrap();

    let inspected = output("skopeo", &["inspect", &format!("oci:{}:latest", desk.path("image"))]);
    assert!(inspected.contains(&image.digest.to_string()), "{inspected}");
    output("skopeo", &["inspect", &format!("oci:{}", desk.path("image"))]);
    let image = format!("{}:latest", desk.path("image"));
    output("umoci", &["unpack", "--image", &image, &desk.path("bundle")]);
    assert_eq!(std::fs::read(desk.path("bundle/rootfs/hello")).unwrap(), b"hello");
}

#[tokio::test]
async fn a_directory_of_something_else_is_no_layout() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("home")).unwrap();
    std::fs::write(desk.path("home/thesis.txt"), "").unwrap();
    let location: Location = format!("oci:{}", desk.path("home")).parse().unwrap();
    let Err(error) = Registry::open(&location, &access()) else { panic!("it was taken") };
    let error = error.to_string();
    assert!(
        error.starts_with(&format!("cannot use oci:{}: it is no OCI layout", desk.path("home"))),
        "{error}"
    );
}
